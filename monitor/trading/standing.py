"""`Standing`: what a ledger knows about a symbol beside its lots and money: whether its position is known, as
of when, and what `position` reports that contradicted it brought in."""

from __future__ import annotations

import msgspec

from monitor.trading.units import InstrumentUnits

NEVER = -1
"""The time of what did not happen."""


class StoredStanding(msgspec.Struct, array_like=True):
    """A `Standing` as stored; lots and money as decimal text."""

    known: bool
    account: str | None
    several: bool
    as_of_ns: int
    of_account: bool
    moved_ns: int
    stated: tuple[str, str, str]


class Standing(msgspec.Struct, gc=False):
    """Of one symbol; times are those of the reports themselves.

    `account`: the first that a report named; `several`: another was named too. `as_of_ns`: of the last
    `position` report; `of_account`: it named one; `moved_ns`: of the newest execution. `lots`, `cash`: what
    contradicting reports changed since `settle`; `worth`: what all before came to, in money at the marks of
    their time.
    """

    known: bool
    account: str | None = None
    several: bool = False
    as_of_ns: int = NEVER
    of_account: bool = False
    moved_ns: int = NEVER
    lots: int = 0
    cash: int = 0
    worth: int = 0

    def name(self, account: str | None) -> bool:
        """Note the account of an execution or of a position; whether it is another than those before."""
        if account is None or account == self.account:
            return False
        if self.account is None:
            self.account = account
            return False
        self.several = True
        return True

    def settle(self, units: InstrumentUnits, held: int, mark: int | None) -> int | None:
        """What contradicting reports brought in, in money at `mark` (half-ticks), which is counted from now
        on; `held`: lots after them.

        Without a mark, what they took away goes at its cost, which is nothing gained or lost, since it is
        held no more when a mark comes; what they brought waits for the first mark: None.
        """
        if mark is not None:
            amount = units.value(self.lots, mark) + self.cash
        elif 0 <= held <= held - self.lots or held - self.lots <= held <= 0:
            amount = 0
        else:
            return None
        self.lots = self.cash = 0
        self.worth += amount
        return amount

    def encode(self) -> StoredStanding:
        """The stored form."""
        stated = (str(self.lots), str(self.cash), str(self.worth))
        return StoredStanding(
            self.known, self.account, self.several, self.as_of_ns, self.of_account, self.moved_ns, stated
        )

    @classmethod
    def decode(cls, stored: StoredStanding) -> Standing:
        """The inverse of `encode`."""
        lots, cash, worth = (int(text) for text in stored.stated)
        return cls(
            stored.known,
            stored.account,
            stored.several,
            stored.as_of_ns,
            stored.of_account,
            stored.moved_ns,
            lots,
            cash,
            worth,
        )

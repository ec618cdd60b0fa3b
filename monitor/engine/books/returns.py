"""`Returns`: differences of equity over steps of time, as exact sums that join in order.

Knows no grid and no calendar: whoever takes a return says over which time it is.
"""

from __future__ import annotations

import msgspec


class StoredReturns(msgspec.Struct, frozen=True, array_like=True):
    """As stored; money as decimal text of an integer in 1e-18, and its square in 1e-36."""

    step: int
    from_ns: int
    to_ns: int
    n: int
    void: int
    links: int
    total: str
    squares: str
    products: str
    first: str
    last: str


class Returns:
    """Returns of steps of `step` ns (0: a session each): sum, sum of squares, and sum of products of
    neighbours, in 1e-18 of the currency and its square.

    `links`: neighbours, of which the second begins where the first ends. `void`: steps that have no return,
    since equity was not known at one of their ends. `from_ns`, `to_ns`: begin of the first, end of the last.
    """

    __slots__ = (
        "first",
        "from_ns",
        "last",
        "links",
        "n",
        "products",
        "squares",
        "step",
        "to_ns",
        "total",
        "void",
    )

    def __init__(self, step: int) -> None:
        self.step = step
        self.n = self.void = self.links = 0
        self.total = self.squares = self.products = 0
        self.first = self.last = 0
        self.from_ns = self.to_ns = 0

    def take(self, value: int, from_ns: int, to_ns: int) -> None:
        """The return of the step from `from_ns` to `to_ns`, later than those before."""
        if not self.n:
            self.first, self.from_ns = value, from_ns
        elif self.to_ns == from_ns:
            self.links += 1
            self.products += self.last * value
        self.n += 1
        self.total += value
        self.squares += value * value
        self.last, self.to_ns = value, to_ns

    def join(self, later: Returns) -> None:
        """Add those of the time after."""
        self.void += later.void
        if not later.n:
            return
        if not self.n:
            self.first, self.from_ns = later.first, later.from_ns
        elif self.to_ns == later.from_ns:
            self.links += 1
            self.products += self.last * later.first
        self.n += later.n
        self.links += later.links
        self.total += later.total
        self.squares += later.squares
        self.products += later.products
        self.last, self.to_ns = later.last, later.to_ns

    @property
    def lag1(self) -> float | None:
        """Correlation of neighbours: (mean product - mean^2) / variance; None where none is defined."""
        spread = self.n * self.squares - self.total * self.total
        if not self.links or not spread:
            return None
        over = self.products * self.n * self.n - self.links * self.total * self.total
        return max(-1.0, min(1.0, over / (self.links * spread)))

    def stored(self) -> StoredReturns:
        """The stored form."""
        sums = (self.total, self.squares, self.products, self.first, self.last)
        return StoredReturns(
            self.step, self.from_ns, self.to_ns, self.n, self.void, self.links, *(str(each) for each in sums)
        )

    @staticmethod
    def of(stored: StoredReturns) -> Returns:
        """The returns back.

        Raises:
            ValueError: money that is no integer.
        """
        made = Returns(stored.step)
        made.from_ns, made.to_ns = stored.from_ns, stored.to_ns
        made.n, made.void, made.links = stored.n, stored.void, stored.links
        made.total, made.squares, made.products = (
            int(each) for each in (stored.total, stored.squares, stored.products)
        )
        made.first, made.last = int(stored.first), int(stored.last)
        return made

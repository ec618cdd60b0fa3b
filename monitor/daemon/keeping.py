"""What the meaning of each state record hangs on: under another configuration it is kept, dropped or refused.

What a person must reset (latches, epoch, audit chain) and how far the deployment has come hang on nothing.
What is held is held: ledgers hang on the units they are counted in and on whose execution reports they are
made of, the real book's equity on its currency and on the same. All else is statistics, made under one
configuration.
"""

from __future__ import annotations

from monitor.daemon.deployed import Deployed
from monitor.daemon.group import Group
from monitor.settings.deployment import FilterSettings
from monitor.settings.instruments import USUAL, Instrument
from monitor.state.records import OWN
from monitor.trading.books import ACTIVE, REAL, book_key, symbols_of

NOTHING = ""
_REAL = book_key(ACTIVE, REAL)
_HELD = ("ledger/", "exec/")


def bond(group: Group, deployed: Deployed, scope: str, key: str) -> str:
    """What a record is sealed under; one that was sealed under something else no longer fits."""
    if key == "fold" or (scope == OWN and key.startswith("policy/")):
        return NOTHING
    if scope == OWN:
        if key.startswith("lasting/"):
            return whose(deployed.settings.filter)
        return _bond_of_equity(deployed, key) if key.startswith("equity/") else deployed.digest
    if held(key) or key.startswith("marks/"):
        symbol = symbol_of(key)
        instrument = group.settings.instruments.get(symbol)
        if instrument is None:
            return f"{symbol} is not an instrument"
        return _units(instrument, key) + ("" if key.startswith("marks/") else whose(deployed.settings.filter))
    return deployed.digest


def held(key: str) -> bool:
    """Whether a task's record says what the account holds: it is never dropped."""
    return key.startswith(_HELD)


def symbol_of(key: str) -> str:
    """The symbol that a task's record of a ledger, its executions or a mark is about."""
    return key.split("/", 3)[3] if key.startswith("exec/") else symbols_of([key]).pop()


def whose(wanted: FilterSettings) -> str:
    """Whose execution reports a book is made of: empty where every report is the deployment's."""
    return "".join(f", {name}" for name in wanted.named)


def _units(instrument: Instrument, key: str) -> str:
    """Prices of marks count half-ticks, ledgers count lots."""
    if key.startswith("marks/"):
        return f"tick_size {instrument.tick_size:f}"
    return f"lot_size {instrument.lot_size:f}, multiplier {instrument.multiplier:f} {instrument.currency}"


def _bond_of_equity(deployed: Deployed, key: str) -> str:
    _, kind, book, *rest = key.split("/")
    if book != _REAL or rest == ["promotion"]:
        return deployed.digest
    capital = deployed.settings.capital
    currency = capital.currency if capital else USUAL
    grids = f" {deployed.settings.windows_ns}" if kind == "ring" else ""
    return f"{currency}{grids}{whose(deployed.settings.filter)}"

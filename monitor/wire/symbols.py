"""`SymbolTable`: symbols as small integers; knows lot sizes, not prices or positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from monitor.settings.instruments import DEFAULT_STEP, Instrument
from monitor.wire.keys import hash64


class SymbolTable:
    """Index of each symbol of a deployment group.

    With `instruments` the names are fixed and sorted; with None (`instruments: open`) every new name gets
    the next index, in order of appearance. An index means something inside one process only: whatever
    leaves it is named.
    """

    def __init__(self, instruments: Mapping[str, Instrument] | None) -> None:
        self._open = instruments is None
        self._lots: list[Decimal] = []
        self.names: list[str] = []
        self._codes: dict[str, int] = {}
        self._keys = np.zeros(1, np.uint64)
        for name in sorted(instruments or {}):
            assert instruments is not None
            self._add(name, instruments[name].lot_size)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def open(self) -> bool:
        """True when unknown symbols are taken in instead of refused."""
        return self._open

    def index(self, name: str) -> int:
        """Index of `name`; -1 where it is unknown. An open table takes a new name in."""
        code = self._codes.get(name, -1)
        return self._add(name, DEFAULT_STEP) if code < 0 and self._open else code

    @property
    def lot_sizes(self) -> Sequence[Decimal]:
        """Smallest quantity step of each symbol, by index; it grows with the table."""
        return self._lots

    @property
    def keys(self) -> NDArray[np.uint64]:
        """(symbols,) `hash64` of each name, by index."""
        return self._keys[: len(self.names)]

    def keys_of(self, codes: NDArray[np.int32]) -> NDArray[np.uint64]:
        """(n,) `hash64` of the names at `codes`, 0 where a code is -1."""
        return np.where(codes >= 0, self._keys[codes], np.uint64(0))

    def _add(self, name: str, lot_size: Decimal) -> int:
        code = self._codes[name] = len(self.names)
        self.names.append(name)
        self._lots.append(lot_size)
        if code == len(self._keys):
            self._keys = np.concatenate([self._keys, np.zeros_like(self._keys)])
        self._keys[code] = hash64(name.encode())
        return code

"""`Table`: rows as equally long NumPy columns; what decoding yields and everything after it consumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_TIME = np.iinfo(np.int64).min
"""`record_ts` of a record without a timestamp, and the bound before the first accepted row."""


@dataclass(frozen=True, slots=True)
class Table:
    """Equally long columns by name; rows are positions. Columns may be 2-D (rows first) or object arrays."""

    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def take(self, rows: NDArray[np.int64] | slice) -> Table:
        """Rows by index array (copied) or slice (views)."""
        if isinstance(rows, slice):
            return Table({k: v[rows] for k, v in self.columns.items()})
        return Table({k: v.take(rows, axis=0) for k, v in self.columns.items()})

    def with_columns(self, **more: NDArray[Any]) -> Table:
        """The same rows with columns added or replaced."""
        return Table({**self.columns, **more})

    @staticmethod
    def concat(tables: Sequence[Table]) -> Table:
        """Rows of all tables, in the order given; all must have the same columns."""
        if len(tables) == 1:
            return tables[0]
        return Table({k: np.concatenate([t.columns[k] for t in tables]) for k in tables[0].columns})

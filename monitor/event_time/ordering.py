"""`OrderBuffer`: rows wait here until time has passed them, then leave in folding order."""

from __future__ import annotations

import numpy as np

from monitor.wire.table import Table


class OrderBuffer:
    """Judged rows of one input, in offset order, until the watermark passes their own time."""

    def __init__(self) -> None:
        self._chunks: list[tuple[int, int, Table]] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, rows: Table) -> None:
        """Rows in offset order, all later in the log than those already here."""
        if len(rows):
            own = rows["own"]
            self._chunks.append((int(own.min()), int(own.max()), rows))
            self._rows += len(rows)

    def release(self, watermark: int) -> Table | None:
        """Take out the rows with own time < `watermark`, ordered by (own time, offset)."""
        ready: list[Table] = []
        kept: list[tuple[int, int, Table]] = []
        for low, high, rows in self._chunks:
            if high < watermark:
                ready.append(rows)
            elif low >= watermark:
                kept.append((low, high, rows))
            else:
                passed = rows["own"] < watermark
                ready.append(rows.take(np.flatnonzero(passed)))
                rest = rows.take(np.flatnonzero(~passed))
                own = rest["own"]
                kept.append((int(own.min()), int(own.max()), rest))
        if not ready:
            return None
        self._chunks = kept
        out = Table.concat(ready)
        self._rows -= len(out)
        own = out["own"]
        if len(own) > 1 and bool((own[1:] < own[:-1]).any()):
            out = out.take(np.argsort(own, kind="stable"))
        return out

    def middle(self) -> int | None:
        """The own time below which about half of the rows lie; None when empty."""
        if not self._rows:
            return None
        own = np.concatenate([rows["own"] for _, _, rows in self._chunks])
        return int(np.partition(own, len(own) // 2)[len(own) // 2])

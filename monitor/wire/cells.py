"""Cells of a feature message: one needed value each, as a float. Knows neither events nor the gate.

NaN is a cell that is absent, None one that is null; both become NaN in a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import Any

import msgspec

from monitor.wire.dead_letters import Rejected
from monitor.wire.keys import category_code

ABSENT = float("nan")
"""What stands where a message has no such cell: this very object, until it is packed."""

NUMBER: Any = float | bool | None
TEXT: Any = str | None

_MAX_CODES = 1 << 16
"""Categories whose codes are remembered; where a feed makes up more, they are computed again."""

Pick = Callable[[tuple[Any, ...]], tuple[Any, ...]]


def by_name(types: Mapping[str, Any]) -> type[Any]:
    """Features by name: the needed ones alone, NaN where absent; all others are skipped unread."""
    fields = [(f"f{i}", cell, ABSENT) for i, cell in enumerate(types.values())]
    rename = {f"f{i}": name for i, name in enumerate(types)}
    return msgspec.defstruct("features", fields, rename=rename, gc=False)


def picker(names: tuple[str, ...], columns: tuple[str, ...]) -> Pick | None:
    """Takes the cells of `names` out of a tuple of cells in the order of `columns`, NaN for those it lacks;
    None where it already is what is needed."""
    if names == columns:
        return None
    places = [columns.index(name) if name in columns else -1 for name in names]
    if -1 in places or len(places) < 2:
        return lambda cells: tuple([ABSENT if i < 0 else cells[i] for i in places])
    return itemgetter(*places)


class Codes(dict[str | float | None, float]):
    """Codes of categories already met; NaN of what is null or absent. `places`: of categories in a row."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__({None: ABSENT, ABSENT: ABSENT})
        self._places = tuple(places)

    def __missing__(self, text: Any) -> float:
        code = category_code(text)
        if len(self) < _MAX_CODES:
            self[text] = code
        return code

    def coded(self, cells: tuple[Any, ...]) -> tuple[Any, ...]:
        """The row with codes in the place of text."""
        row = list(cells)
        for place in self._places:
            row[place] = self[row[place]]
        return tuple(row)


def category(name: str, value: Any) -> float | None:
    """The code of a category; None where it is null, NaN where it is absent.

    Raises:
        Rejected: ill_typed.
    """
    if value is None or value is ABSENT:
        return value
    if not isinstance(value, str):
        raise Rejected("ill_typed", f"feature {name!r} is needed as text, got {type(value).__name__}")
    return category_code(value)


def number(name: str, value: Any) -> float | None:
    """A needed feature as a float; None where it is null.

    Raises:
        Rejected: ill_typed, non_finite.
    """
    if value is None or isinstance(value, float):
        return value
    if not isinstance(value, int):
        raise Rejected("ill_typed", f"feature {name!r} is needed as a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError as error:
        raise Rejected("non_finite", f"feature {name!r} is beyond the range of a float") from error


def price(name: str, value: float | str | None) -> float:
    """A quote as a float, NaN where it is null.

    Raises:
        Rejected: ill_typed, non_finite.
    """
    if value is None:
        return ABSENT
    if not isinstance(value, str):
        return value
    try:
        number = float(Decimal(value))
    except (InvalidOperation, ValueError) as error:
        raise Rejected("ill_typed", f"`{name}` is not decimal text: {value[:40]!r}") from error
    if not math.isfinite(number):
        raise Rejected("non_finite", f"`{name}` is not finite: {value[:40]!r}")
    return number

"""Names that desks write as they like, in one form: types of orders, reasons of rejects."""

from __future__ import annotations

OTHER = "other"
"""All that have no name of their own."""

_SEPARATED = str.maketrans({" ": "_", "-": "_"})


def normal(text: str) -> str:
    """A name as it is compared: lower case, with _ for spaces and dashes.

    >>> normal("Exchange-closed ")
    'exchange_closed'
    """
    return text.strip().lower().translate(_SEPARATED)

"""What a refused execution report says of itself, as far as it can be read. Judges nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

SHOWN_CHARS = 64


class Claim(NamedTuple):
    """Names in a record that was refused: text as it was written, cut, or None where there is none."""

    symbol: str | None = None
    exec_id: str | None = None
    account: str | None = None
    strategy: str | None = None


class _Named(msgspec.Struct):
    symbol: Any = None
    exec_id: Any = None
    account: Any = None
    strategy: Any = None


_decoder = msgspec.json.Decoder(_Named)


def claim_of(body: bytes) -> Claim | None:
    """The names in a message, whatever else is wrong with it; None of what is no JSON object.

    >>> claim_of(b'{"symbol": "BTC", "exec_id": 17, "last_quantity": "ten"}')
    Claim(symbol='BTC', exec_id='17', account=None, strategy=None)
    """
    try:
        said = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Claim(*map(_text, (said.symbol, said.exec_id, said.account, said.strategy)))


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[:SHOWN_CHARS]

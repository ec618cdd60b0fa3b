"""Keys of state records, and the `meta` record: where a task goes on.

A record's key says whose it is: `task/<deployment>/...` of fold 1, `own/<deployment>/...` of fold 2. Its
value carries the version of the encoding and the digest of the configuration it was made under.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from monitor.errors import StateError

VERSION = 1
META = b"meta"
TASK, OWN = "task", "own"


class InputOffsets(msgspec.Struct, frozen=True, array_like=True):
    """Of one input: lowest row still needed, the bound before it, next row to read."""

    seek: int
    bound: int
    read: int


class OwnerOffsets(msgspec.Struct, frozen=True, array_like=True):
    """Of one owned deployment: per partition of `partials` the first one not yet folded."""

    partials: list[int]


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets that are the authority after a restart, with the watermark they belong to."""

    version: int = VERSION
    partitions: int
    watermark: int
    inputs: dict[str, InputOffsets]
    sequence: int
    owners: dict[str, OwnerOffsets] = {}


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    version: int
    digest: str
    value: bytes


T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def encode_meta(meta: Meta) -> bytes:
    """JSON: people read it in a hurry."""
    return msgspec.json.encode(meta)


def decode_meta(data: bytes) -> Meta:
    """The meta record back.

    Raises:
        StateError: unreadable, or of another version.
    """
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version != VERSION:
            raise StateError(f"state record `meta` is of version {version}; this program reads {VERSION}")
        return msgspec.json.decode(data, type=Meta)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"state record `meta` cannot be read: {error}") from error


def seal(scope: str, deployment: str, key: str, digest: str, value: bytes) -> tuple[bytes, bytes]:
    """Key and value of a state record."""
    return f"{scope}/{deployment}/{key}".encode(), _encoder.encode(_Sealed(VERSION, digest, value))


def record_key(scope: str, deployment: str, key: str) -> bytes:
    """Key of a state record that is to be deleted."""
    return f"{scope}/{deployment}/{key}".encode()


def read_value(form: type[T], key: str, value: bytes) -> T:
    """What a record holds: MessagePack of the type `form`.

    Raises:
        StateError: anything else.
    """
    try:
        return msgspec.msgpack.decode(value, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"state record {key!r} cannot be read: {error}") from error


def unseal(records: Mapping[bytes, bytes]) -> dict[tuple[str, str], dict[str, tuple[str, bytes]]]:
    """Records by (scope, deployment) and key, each with the digest it was made under; `meta` left out.

    Raises:
        StateError: a record that cannot be read, or of another version.
    """
    out: dict[tuple[str, str], dict[str, tuple[str, bytes]]] = {}
    for raw, data in records.items():
        if raw == META:
            continue
        try:
            scope, deployment, key = raw.decode().split("/", 2)
        except ValueError as error:
            raise StateError(f"state record {raw!r} has no key of this program: {error}") from error
        sealed = read_value(_Sealed, raw.decode(), data)
        if sealed.version != VERSION:
            raise StateError(
                f"state record {raw.decode()!r} is of version {sealed.version}; this program reads {VERSION}"
            )
        out.setdefault((scope, deployment), {})[key] = (sealed.digest, sealed.value)
    return out

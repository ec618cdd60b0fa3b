"""Fifty kinds of malformed messages, each with the reason it must be refused for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from streams import SECOND, encode, feature, fill

from monitor.wire.keys import murmur2

DAY = 86_400 * SECOND
Make = Callable[[str, int], "Bad"]
"""From a name that no other message has and the time at which it is sent."""


class Bad(NamedTuple):
    """A message; `key` and `partition` None: those of its symbol."""

    stream: str
    value: bytes | None
    key: bytes | None = b"AAA"
    partition: int | None = None


def row(name: str, at: int, **changes: Any) -> dict[str, Any]:
    return feature(name, at, "AAA", 1.0, 10_000, None) | changes


def report(name: str, at: int, **changes: Any) -> dict[str, Any]:
    return fill(name, at, "AAA", "buy", 1, 10_000) | changes


def without(message: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != name}


def features(change: Callable[[str, int], dict[str, Any]]) -> Make:
    return lambda name, at: Bad("features", encode(change(name, at)))


def orders(change: Callable[[str, int], dict[str, Any]]) -> Make:
    return lambda name, at: Bad("orders", encode(change(name, at)))


def bytes_of(change: Callable[[bytes], bytes], stream: str = "features") -> Make:
    make = row if stream == "features" else report
    return lambda name, at: Bad(stream, change(encode(make(name, at))))


def homeless(partitions: int) -> str:
    """A listed symbol that does not live where AAA does."""
    home = murmur2(b"AAA") % partitions
    return next(s for s in ("BBB", "CCC", "DDD", "EEE") if murmur2(s.encode()) % partitions != home)


TEN_MB = b'{"pad": "' + b"x" * 10_000_000 + b'"}'


def kinds(partitions: int) -> dict[str, tuple[Make, str]]:
    """By name: how to make one, and the reason, of the dead letter or, in brackets, the fate."""
    home = murmur2(b"AAA") % partitions
    other = homeless(partitions)
    stray = encode(row("stray", 1) | {"symbol": other})
    made: dict[str, tuple[Make, str]] = {
        "no value": (lambda n, t: Bad("features", None), "empty"),
        "no bytes": (lambda n, t: Bad("orders", b""), "empty"),
        "10 MB": (lambda n, t: Bad("features", TEN_MB), "oversize"),
        "10 MB of orders": (lambda n, t: Bad("orders", TEN_MB), "oversize"),
        "truncated early": (bytes_of(lambda b: b[:1]), "undecodable"),
        "truncated in the middle": (bytes_of(lambda b: b[: len(b) // 2]), "undecodable"),
        "truncated by a byte": (bytes_of(lambda b: b[:-1], "orders"), "undecodable"),
        "two messages": (bytes_of(lambda b: b + b), "undecodable"),
        "UTF-16": (bytes_of(lambda b: b.decode().encode("utf-16")), "undecodable"),
        "invalid UTF-8": (bytes_of(lambda b: b.replace(b"AAA", b"A\xffA")), "undecodable"),
        "invalid UTF-8 in an unknown field": (
            bytes_of(lambda b: b[:-1] + b', "n": "\xc3("}', "orders"),
            "undecodable",
        ),
        "random bytes": (lambda n, t: Bad("features", bytes(range(256))), "undecodable"),
        "a NaN token": (bytes_of(lambda b: b.replace(b'"c0": 1.0', b'"c0": NaN')), "undecodable"),
        "an Infinity token": (bytes_of(lambda b: b.replace(b'"c0": 1.0', b'"c0": -Infinity')), "undecodable"),
        "nesting without end": (lambda n, t: Bad("features", b"[" * 100_000), "undecodable"),
        "an array": (lambda n, t: Bad("features", b"[1]"), "not_an_object"),
        "null": (lambda n, t: Bad("orders", b"null"), "not_an_object"),
        "an empty object": (lambda n, t: Bad("features", b"{}"), "missing_field"),
        "no event_id": (features(lambda n, t: without(row(n, t), "event_id")), "missing_field"),
        "no ts_ns": (features(lambda n, t: without(row(n, t), "ts_ns")), "missing_field"),
        "no symbol": (features(lambda n, t: without(row(n, t), "symbol")), "missing_field"),
        "no features": (features(lambda n, t: without(row(n, t), "features")), "missing_field"),
        "an array without schema": (features(lambda n, t: row(n, t, features=[1.0, 2.0])), "missing_field"),
        "no exec_id": (orders(lambda n, t: without(report(n, t), "exec_id")), "missing_field"),
        "a fill without price": (orders(lambda n, t: without(report(n, t), "last_price")), "missing_field"),
        "a numeric id": (features(lambda n, t: row(n, t, event_id=7)), "ill_typed"),
        "a time as text": (features(lambda n, t: row(n, t, ts_ns=str(t))), "ill_typed"),
        "features as text": (features(lambda n, t: row(n, t, features="1,2")), "ill_typed"),
        "text for a feature": (features(lambda n, t: row(n, t, features={"c0": "x"})), "ill_typed"),
        "an unknown kind": (orders(lambda n, t: report(n, t, kind="filled")), "ill_typed"),
        "an unknown side": (orders(lambda n, t: report(n, t, side="long")), "ill_typed"),
        "a quantity in words": (orders(lambda n, t: report(n, t, last_quantity="a lot")), "ill_typed"),
        "a NaN price": (features(lambda n, t: row(n, t, bid="NaN")), "non_finite"),
        "a NaN quantity": (orders(lambda n, t: report(n, t, last_quantity="NaN")), "non_finite"),
        "a float beyond range": (bytes_of(lambda b: b.replace(b"1.0", b"1e999", 1)), "non_finite"),
        "a huge integer": (bytes_of(lambda b: b.replace(b"1.0", b"9" * 400, 1)), "non_finite"),
        "a huge integer price": (
            bytes_of(lambda b: b.replace(b'"100.00"', b"9" * 400), "orders"),
            "out_of_range",
        ),
        "an exponent like a bomb": (orders(lambda n, t: report(n, t, last_price="1e999999")), "out_of_range"),
        "a fill of nothing": (orders(lambda n, t: report(n, t, last_quantity=0)), "out_of_range"),
        "half a lot": (orders(lambda n, t: report(n, t, last_quantity="0.5")), "off_lot"),
        "a wrong CRC": (
            features(lambda n, t: row(n, t, features=[1.0, 2.0], schema_crc32=1)),
            "unknown_schema",
        ),
        "an unknown symbol": (
            lambda n, t: Bad(
                "features", encode(row(n, t, symbol="ZZZ")), b"ZZZ", murmur2(b"ZZZ") % partitions
            ),
            "unknown_symbol",
        ),
        "a null key": (lambda n, t: Bad("features", encode(row(n, t)), None, home), "unkeyed"),
        "another's key": (
            lambda n, t: Bad("orders", encode(report(n, t)), other.encode(), home),
            "misrouted",
        ),
        "a foreign partition": (lambda n, t: Bad("features", stray, other.encode(), home), "misrouted"),
        "time zero": (features(lambda n, t: row(n, 0)), "bad_time"),
        "a negative time": (features(lambda n, t: row(n, -t)), "bad_time"),
        "a time beyond 64 bits": (features(lambda n, t: row(n, 2**63)), "bad_time"),
        "far in the future": (features(lambda n, t: row(n, t + DAY)), "quarantined"),
        "orders of the future": (orders(lambda n, t: report(n, t + DAY)), "quarantined"),
        "far in the past": (features(lambda n, t: row(n, t - DAY)), "late"),
        "orders of the past": (orders(lambda n, t: report(n, t - DAY, kind="new")), "(late_applied)"),
    }
    return made

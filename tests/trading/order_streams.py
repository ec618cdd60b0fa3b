"""Reports of orders for tests of their lifecycle: made up, mislaid, delayed; and what they come to."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from monitor.wire.messages import ExecutionReport, Undoes

MS = 1_000_000
START = 1_700_000_000_000_000_000
ENDS = {"fill": "filled", "cancel": "cancelled", "expire": "expired", "reject": "rejected"}


def report(kind: str, at: int, order: str = "o", **fields: Any) -> ExecutionReport:
    """A report of an order at a time (ns since START); decimal fields may be given as text."""
    exact = ("quantity", "limit_price", "last_quantity", "last_price", "cum_quantity", "fee")
    given = {k: Decimal(str(v)) if k in exact and v is not None else v for k, v in fields.items()}
    known: dict[str, Any] = {"symbol": "AAA", "exec_id": f"{order}/{kind}/{at}", "side": "buy"}
    return ExecutionReport(order_id=order, ts_ns=START + at, kind=kind, **(known | given))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Row:
    """A report as it is folded: at its effective time."""

    report: ExecutionReport
    eff: int


def stream(seed: int, orders: int = 6) -> list[Row]:
    """Reports of some orders of two symbols, in folding order: partly lost, partly behind their time."""
    rng = random.Random(seed)
    told: list[tuple[ExecutionReport, int]] = []
    for number in range(orders):
        for each in _life(rng, f"o{number}", rng.choice(("AAA", "BBB"))):
            lost, behind = rng.random() < 0.08, rng.random() < 0.15
            if not lost:
                told.append((each, each.ts_ns + (rng.randint(1, 3000) * MS if behind else 0)))
    told.sort(key=lambda one: (one[1], one[0].exec_id))
    return [Row(each, eff) for each, eff in told]


def _life(rng: random.Random, order: str, symbol: str) -> list[ExecutionReport]:
    """All reports of one order as its venue wrote them, at rising times of their own."""
    ordered, counted = rng.randint(1, 9), rng.random() < 0.7
    at, filled, done = rng.randint(0, 2000) * MS, 0, []
    every = {
        "symbol": symbol,
        "quantity": ordered,
        "order_type": rng.choice(("Market", "limit", "peg", None)),
    }
    life = [report("new", at, order, **every)]

    def say(kind: str, **fields: Any) -> None:
        nonlocal at
        at += rng.randint(1, 400) * MS + rng.randint(1, 999)
        cum = filled if counted and kind not in ("ack", "new") else None
        life.append(report(kind, at, order, cum_quantity=cum, **every, **fields))

    if rng.random() < 0.15:
        say("reject", reason=rng.choice(("3", "risk limit", "odd", None)))
    else:
        if rng.random() < 0.8:
            say("ack")
        for _ in range(rng.randint(0, 4)):
            part = rng.randint(1, 3)
            if filled + part > ordered:
                break
            filled += part
            done.append(part)
            kind = "fill" if filled == ordered else "partial_fill"
            say(kind, last_quantity=part, last_price=100)
        if filled < ordered and rng.random() < 0.8:
            say(rng.choice(("cancel", "expire")))
    for _ in range(rng.randint(0, 2)):
        if done and rng.random() < 0.5:
            gone = done.pop(rng.randrange(len(done)))
            filled -= gone
            say("bust", last_quantity=gone, last_price=100)
        elif done:
            place = rng.randrange(len(done))
            old, new = done[place], rng.randint(1, 3)
            filled += new - old
            done[place] = new
            undoes = Undoes(side="buy", last_quantity=Decimal(old), last_price=Decimal(100))
            say("correct", last_quantity=new, last_price=99, undoes=undoes)
    return life


@dataclass
class Known:
    """What one order's reports come to, worked out from the whole list of them."""

    new: int = 0
    unknown: bool = False
    acks: tuple[int, ...] = ()
    fills: tuple[int, ...] = ()
    accepted: bool = False
    rejected: bool = False
    ended: tuple[str | None, Fraction, Fraction] | None = None
    """Type, ordered and filled, where it counts."""
    gaps: int = 0
    closed: int = 0
    beyond: int = 0


def moved(one: ExecutionReport) -> Fraction:
    """By how much a report changes what is filled."""
    if one.last_quantity is None:
        return Fraction(0)
    quantity = Fraction(one.last_quantity)
    if one.kind == "correct":
        assert one.undoes is not None
        return quantity - Fraction(one.undoes.last_quantity)
    return -quantity if one.kind == "bust" else quantity


def known(rows: Sequence[ExecutionReport]) -> Known:
    """By going over the reports of one order again for each of them; no two have one time."""
    found = Known(unknown=rows[0].kind != "new")
    news = [one for one in rows if one.kind == "new"]
    acks = [one for one in rows if one.kind == "ack"]
    ordered = Fraction((news or rows)[0].quantity or 0)
    found.new = len(news)
    found.accepted = any(one.kind in ("ack", "partial_fill", "fill") for one in rows)
    ends, whole_at = [], []
    gaps = [Fraction(0)]
    for count in range(1, len(rows) + 1):
        seen, last = rows[:count], rows[count - 1]
        filled = sum(map(moved, seen), Fraction(0))
        counts = last.kind not in ("new", "ack")
        if last.kind in ENDS:
            ends.append(ENDS[last.kind])
        elif counts and not ends and filled and filled >= ordered:
            ends.append("filled")
        if ends and ends[-1] == "filled" and (last.kind == "fill" or len(ends) == 1):
            whole_at.append(last.ts_ns)
        gaps.append(_gap(seen, ordered))
        before, now = gaps[-2], gaps[-1]
        if counts:
            found.gaps += now > max(before, 0)
            found.closed += before > 0 >= now
            found.beyond += now < min(before, 0)
    found.rejected = "rejected" in ends
    if news and acks:
        found.acks = (acks[0].ts_ns - news[0].ts_ns,)
    if news and whole_at:
        found.fills = (whole_at[0] - news[0].ts_ns,)
    if news and ends and ends[-1] != "rejected":
        filled = sum(map(moved, rows), Fraction(0))
        found.ended = (news[0].order_type, ordered, filled)
    return found


def _gap(seen: Sequence[ExecutionReport], ordered: Fraction) -> Fraction:
    """Stated to be filled, by the newest report that states it, less what came of it.

    A report counts as newest where nothing that came before it, from the first statement on, is newer.
    """
    stated, as_of = None, -1
    for one in seen:
        if one.kind in ("new", "ack") or one.ts_ns < as_of:
            continue
        says = one.cum_quantity is not None or one.kind == "fill"
        if says:
            stated = Fraction(one.cum_quantity or 0)
            if one.kind == "fill":
                stated = max(stated, ordered)
        elif stated is not None:
            stated += moved(one)
        if says or (stated is not None and moved(one)):
            as_of = one.ts_ns
    return Fraction(0) if stated is None else stated - sum(map(moved, seen), Fraction(0))

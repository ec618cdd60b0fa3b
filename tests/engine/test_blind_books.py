"""Why a book is unknown is named: positions never stated, marks and rates that are missing or old."""

from __future__ import annotations

from typing import Any

import pytest
from book_cases import SHADOW, TWIN, holding
from engine_cases import REAL, START, House, S, fold1, made_up
from msgspec.structs import replace

from monitor.engine.books.rates import Pair
from monitor.engine.deployment import DeploymentFold
from monitor.engine.partials import BookState, Holding, Mark, Money
from monitor.stats.estimate import Status

HOUSE = House(pairs={"EUR": Pair("EURUSD", False, (1, 200))})
SOUND = holding(5)
OLD = START - 60 * S
LABELS = (("fills", "real"), ("role", "active"))


def fold_of(real: BookState, rate_ns: int = START, at: int = START) -> DeploymentFold:
    """A deployment at its second instant; the house takes marks for old after 5 s."""
    fold = HOUSE.fold2()
    marks = {"EURUSD": Mark(220, rate_ns, False)}
    for instant in (at, at + HOUSE.tick):
        fold.books.fold(0, {REAL: real, TWIN: SOUND, SHADOW: SOUND}, marks)
        fold.books.take(instant, missing=False)
    return fold


def extras(fold: DeploymentFold) -> dict[Any, dict[str, Any]]:
    return {
        (v.name, v.labels): v.estimate.extra for v in fold.values() if v.estimate.status is Status.UNKNOWN
    }


def holds(**marks: int) -> BookState:
    held = {symbol: Holding(3, 100 if ts else 0, ts) for symbol, ts in marks.items()}
    known = [ts for ts in marks.values() if ts]
    return replace(SOUND, complete=len(known) == len(marks), mark_ts=min(known, default=0), holdings=held)


@pytest.mark.parametrize(
    ("real", "rate_ns", "named"),
    [
        (holds(AAA=OLD, BBB=START), START, {"stale_marks": ["AAA"]}),
        (holds(AAA=0, BBB=START), START, {"no_mark": ["AAA"]}),
        (replace(SOUND, complete=False, unstated=("CCC", "DDD")), START, {"no_position": ["CCC", "DDD"]}),
        (replace(SOUND, money={"EUR": Money("1")}), OLD, {"stale_rate": ["EUR"]}),
        (replace(SOUND, money={"CHF": Money("1")}), OLD, {"no_rate": ["CHF"]}),
    ],
)
def test_each_cause_is_named_by_all_that_it_makes_unknown(real, rate_ns, named):
    fold = fold_of(real, rate_ns)
    found = extras(fold)
    assert fold.books.blind(REAL) == named
    for key in (("equity", LABELS), ("execution_effect", ())):
        assert {cause: found[key][cause] for cause in named} == named
    assert "model_effect" not in {name for name, _ in found}, "paper is sound"


def test_no_more_than_eight_are_named_and_a_sound_book_names_none():
    many = {f"X{i}": OLD for i in reversed(range(9))}
    assert fold_of(holds(**many)).books.blind(REAL) == {"stale_marks": [f"X{i}" for i in range(8)]}
    assert fold_of(holds(AAA=START)).books.blind(REAL) == {}


@pytest.mark.parametrize("start_flat", [True, False])
def test_a_task_says_which_positions_were_never_stated(start_flat):
    house = House(start_flat=start_flat)
    end = START + 30 * S
    *_, [last] = fold1(house, made_up(3), end, [end])
    assert last.books is not None
    assert last.books[REAL].unstated == (() if start_flat else ("AAA", "BBB", "CCC"))
    assert last.books[TWIN].unstated == ()

"""A model that does not answer decides nothing: how much of a span it answered, and what is believed then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from book_cases import HOUR, MINUTE, NEW_YORK, OF_SHADOW, SHADOW, TWIN, apart, holding, made, ns, take
from engine_cases import BOOKS, MS, REAL, START, House, Rows, S, cuts, keep, made_up, rule, told
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.rows import ScoreStatus
from monitor.event_time.timing import FOLDED
from monitor.policy.rules import Action
from monitor.stats.estimate import Status

MONDAY = ns("2026-03-02T00:00:00+00:00")
END = START + 20 * S + 1
OF_TWO_BOOKS = ("pnl_divergence", "model_effect", "execution_effect", "position_gap")
DEMOTE = rule("pnl", "pnl_e_value", labels={"role": "shadow"}, threshold=20.0, action=Action.DEMOTE)


def silenced(rows: Rows, role: str, silent: Callable[[np.ndarray], np.ndarray]) -> Rows:
    """The same rows, of which a model answers none of those whose seconds since the start are `silent`."""
    scores, mute = rows.scores[role], silent((rows.features["eff"] - START) / S)
    status = np.where(mute, np.int8(ScoreStatus.INCOMPLETE), np.int8(ScoreStatus.OK))
    value = np.where(mute, np.nan, np.where(np.isnan(scores.value), 1.0, scores.value))
    return replace(rows, scores={**rows.scores, role: replace(scores, status=status, value=value)})


def rising(seed: int = 0, n: int = 4000, seconds: float = 40.0) -> Rows:
    """Quotes that rise without end, under an active that is always long."""
    rows = made_up(seed, seconds=seconds, n=n, fills=0)
    middle = 100 + 0.01 * np.arange(n)
    quotes = {"bid": middle - 0.01, "ask": middle + 0.01, "price": middle}
    features = rows.features.with_columns(**{name: np.round(column, 2) for name, column in quotes.items()})
    active = rows.scores["active"]
    long = replace(active, value=np.ones(n), status=np.full(n, ScoreStatus.OK, np.int8))
    return replace(rows, features=features, scores={**rows.scores, "active": long})


def test_a_shadow_that_answers_nothing_is_not_demoted_for_what_the_active_earned():
    house, rows, end = House(rules=(DEMOTE,)), rising(), START + 40 * S + 1
    against = replace(rows.scores["active"], value=-rows.scores["active"].value)
    opposed = replace(rows, scores={**rows.scores, "shadow": against})
    assert b'"rule":"pnl"' in told(house, opposed, end).events, "of a shadow that answers, it is evidence"
    found = told(house, silenced(rows, "shadow", lambda seconds: seconds >= 0), end)
    assert found.events == b""
    [shown] = [value.estimate for value in found.values if value.name == "pnl_e_value"]
    assert (shown.n, shown.status) == (0, Status.INSUFFICIENT)


def of_span(rows: Rows, role: str, from_ns: int, to_ns: int) -> tuple[int, int]:
    eff = rows.features["eff"]
    inside = (eff >= from_ns) & (eff < to_ns) & np.isin(rows.features["fate"], FOLDED)
    status = rows.scores[role].status[inside]
    return len(status), int((status == ScoreStatus.OK).sum())


@pytest.mark.parametrize("windows", [(10 * S, 60 * S), (300 * S, 3600 * S), (3600 * S,)])
@pytest.mark.parametrize(("low", "high"), [(0, 20), (2, 7), (2, 18), (16, 20)])
def test_every_span_knows_the_share_of_its_own_rows_that_was_answered(windows, low, high):
    rows = silenced(made_up(3, n=2000), "shadow", lambda seconds: (seconds >= low) & (seconds < high))
    house = House(windows_ns=windows, rules=())
    checked = 0
    for value in told(house, rows, END, tasks=2).values:
        if value.name != "model_effect":
            continue
        made = value.estimate
        n, answered = of_span(rows, "shadow", made.from_ns, END)
        share = answered / n
        assert made.extra.get("answered", {}).get("shadow", 1.0) == share
        assert made.extra.get("silent") == (["shadow"] if share < 0.5 else None)
        assert made.status is (Status.UNKNOWN if share < 0.5 else Status.OK)
        assert (made.value is None) == (share < 0.5)
        checked += 1
    assert checked == len(windows) + 2


@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from([House(rules=(DEMOTE,)), House(windows_ns=(3600 * S,), rules=())]),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.sampled_from([1, 3]),
)
def test_shares_do_not_hang_on_batches_tasks_or_crashes(house, seed, slicing, tasks):
    rng = np.random.default_rng(slicing)
    rows = silenced(made_up(seed), "shadow", lambda seconds: seconds % 4 < rng.integers(1, 4))
    marks = cuts(np.random.default_rng(slicing), START - S, END, 30)
    restart1 = frozenset(rng.choice(marks, 8).tolist()) if tasks == 1 else frozenset()
    restart2 = frozenset((START + rng.integers(1, 200, 20) * 100 * MS).tolist())
    found = told(house, rows, END, tasks=tasks, seed=slicing, restart1=restart1, restart2=restart2)
    assert found == told(house, rows, END, steps=1)
    assert any("answered" in value.estimate.extra for value in found.values)


def spoken(books, at: int, n: int, answers: dict[str, tuple[int, int]]) -> None:
    take(books, at, {REAL: holding(n), TWIN: holding(2 * n), SHADOW: holding(3 * n)}, answers=answers)


def test_below_half_of_the_rows_nothing_that_rests_on_a_paper_book_is_known():
    for active, shadow in ((100, 50), (100, 49), (49, 100), (0, 0), (99, 100)):
        books = made()
        spoken(books, MONDAY, 0, {"active": (0, 0), "shadow": (0, 0)})
        spoken(books, MONDAY + MINUTE, 1, {"active": (100, active), "shadow": (100, shadow)})
        for name in OF_TWO_BOOKS:
            models = {"active": active} if name in OF_TWO_BOOKS[1:] else {}
            models |= {"shadow": shadow} if name in OF_TWO_BOOKS[:2] else {}
            labels = OF_SHADOW if "shadow" in models else ()
            found = apart(books, name, "session", MONDAY + MINUTE, labels)
            silent = [role for role in ("shadow", "active") if models.get(role, 100) < 50]
            assert found.extra.get("silent", []) == silent, name
            less = {role: n / 100 for role, n in models.items() if n < 100}
            assert found.extra.get("answered", {}) == less
            if silent:
                assert (found.status, found.value, found.stale) == (Status.UNKNOWN, None, False)
            elif name != "position_gap":
                assert found.status is Status.OK


def test_spans_without_rows_are_as_they_would_be_without_models():
    books = made()
    spoken(books, MONDAY, 0, {"active": (500, 3), "shadow": (500, 3)})
    spoken(books, MONDAY + MINUTE, 1, {"active": (500, 3), "shadow": (500, 3)})
    # What was before the first instant belongs to it: no books are flat here but before any row.
    books.restart(books.books)
    spoken(books, MONDAY + 2 * MINUTE, 2, {"active": (500, 3), "shadow": (500, 3)})
    spoken(books, MONDAY + 3 * MINUTE, 3, {"active": (500, 3), "shadow": (500, 3)})
    found = apart(books, "model_effect", "session", MONDAY + 3 * MINUTE)
    assert (found.status, found.value, found.extra) == (Status.OK, 1, {})


@pytest.mark.parametrize("restarted", [False, True])
def test_a_session_keeps_the_share_that_it_closed_with(restarted):
    friday = NEW_YORK.next_session(ns("2026-03-06T00:00:00+00:00"))
    make = {"windows_ns": (48 * HOUR,), "calendar": NEW_YORK}
    books, store = made(**make), {}
    spoken(books, friday.end_ns - 2 * MINUTE, 0, {"active": (0, 0), "shadow": (0, 0)})
    spoken(books, friday.end_ns - MINUTE, 1, {"active": (40, 40), "shadow": (40, 0)})
    spoken(books, friday.end_ns, 2, {"active": (100, 100), "shadow": (100, 10)})
    spoken(books, friday.end_ns + MINUTE, 3, {"active": (1000, 1000), "shadow": (1000, 910)})
    keep(store, books.records())
    if restarted:
        books = made(**make)
        books.restore(store)
    spoken(books, friday.end_ns + 2 * MINUTE, 3, {"active": (2000, 2000), "shadow": (2000, 1910)})
    closed = apart(books, "model_effect", "session", friday.end_ns)
    assert (closed.extra["answered"], closed.extra["silent"]) == ({"shadow": 0.1}, ["shadow"])
    whole = apart(books, "model_effect", "promotion", friday.end_ns)
    assert (whole.extra, whole.status) == ({"answered": {"shadow": 0.955}}, Status.OK)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("role", ["active", "shadow"])
def test_blocks_of_which_a_model_answered_less_than_half_are_void(role, restarted):
    make = {"block_ns": 10 * MINUTE, "capital": 20_000}
    books, store, losses = made(**make), {}, []
    rows, answered = 0, {"active": 0, "shadow": 0}
    silent = {1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, *range(21, 31)}
    for minute in range(41):
        if minute:
            rows += 10
            for each in answered:
                answered[each] += 10 if each != role or minute not in silent else 0
        answers = {each: (rows, n) for each, n in answered.items()}
        says = {SHADOW: holding(-minute, 50), TWIN: holding(0, 50)}
        for block in take(books, MONDAY + minute * MINUTE, says, answers=answers):
            losses.append(block.losses["shadow"])
        keep(store, books.records())
        if restarted:
            books = made(**make)
            books.restore(store)
    assert losses == [None, 5.0, None, 5.0], "6, 5 and 10 minutes of silence, then none"


def test_of_all_books_only_those_of_models_have_answers():
    books = made()
    spoken(books, MONDAY, 0, {"active": (5, 4), "shadow": (5, 3)})
    assert [books.standing(book).answers for book in BOOKS] == [(0, 0), (5, 4), (5, 3)]

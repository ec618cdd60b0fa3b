"""Model effect block by block: the loss that is tested is that of its definition, or void."""

from __future__ import annotations

import numpy as np
from book_cases import HOUR, MINUTE, NEW_YORK, SHADOW, TWIN, holding, made, ns, take
from engine_cases import BOOKS, START, House, keep, rule

from monitor.engine.partials import BookState, Money, Partial
from monitor.policy.rules import Action
from monitor.stats.betting import BettingTest, Harm
from monitor.stats.estimate import Status

MONDAY = ns("2026-03-02T00:00:00+00:00")
CAPITAL = 20_000


def blocks(**more):
    return made(block_ns=10 * MINUTE, capital=CAPITAL, **more)


def run(books, start: int, minutes: int, shadow, twin=lambda m: 0, missing=(), store=None):
    """What ended, by the minute at which it did."""
    ended = {}
    for minute in range(minutes + 1):
        at = start + minute * MINUTE
        says = {SHADOW: holding(shadow(minute), 50), TWIN: holding(twin(minute), 50)}
        for block in take(books, at, says, missing=minute in missing):
            ended[minute] = block
        if store is not None:
            keep(store, books.records())
    return ended


def test_the_loss_of_a_block_is_the_negative_model_effect_in_bps_of_capital():
    ended = run(blocks(), MONDAY + 3 * MINUTE, 40, lambda m: -m * m, lambda m: 3 * m)
    assert list(ended) == [17, 27, 37], "from the first whole block on"
    for minute, block in ended.items():
        effect = (-(minute**2) + (minute - 10) ** 2) - 30
        assert block.losses == {"shadow": -effect * 10_000 / CAPITAL}
        assert block.end - block.start == 10 * MINUTE
        assert block.end == MONDAY + (3 + minute) * MINUTE


def test_a_block_with_an_unknown_end_is_void_and_so_is_the_one_after_it():
    ended = run(blocks(), MONDAY, 40, lambda m: -m, missing={20})
    assert [block.losses["shadow"] is None for block in ended.values()] == [False, True, True, False]


def test_a_block_in_which_nobody_held_anything_says_nothing():
    books, ended = blocks(), []
    for minute in range(21):
        ended += take(books, MONDAY + minute * MINUTE, {SHADOW: holding(0), TWIN: holding(0)})
    assert [block.losses for block in ended] == [{"shadow": None}] * 2


def test_a_block_that_was_slept_through_is_void():
    books = blocks()
    take(books, MONDAY, {SHADOW: holding(0, 5), TWIN: holding(0, 5)})
    [block] = take(books, MONDAY + 25 * MINUTE, {SHADOW: holding(9, 5)})
    assert (block.start, block.losses) == (MONDAY, {"shadow": None})
    assert take(books, MONDAY + 30 * MINUTE) == []
    [block] = take(books, MONDAY + 40 * MINUTE, {SHADOW: holding(29, 5)})
    assert block.losses == {"shadow": -10.0}


def test_outside_sessions_no_block_says_anything():
    friday = NEW_YORK.next_session(ns("2026-03-06T00:00:00+00:00"))
    ended = run(blocks(calendar=NEW_YORK), friday.end_ns - HOUR, 120, lambda m: -m)
    assert [minute for minute, block in ended.items() if block.losses["shadow"] is not None] == [
        *range(10, 61, 10)
    ]


def test_a_restart_and_a_reset_in_the_middle_of_a_block():
    books, store = blocks(), {}
    run(books, MONDAY, 14, lambda m: -m, store=store)
    again = blocks()
    again.restore(store)
    later = MONDAY + 15 * MINUTE
    for one in (books, again):
        ended = run(one, later, 15, lambda m: -(m + 15))
        assert [block.losses["shadow"] for block in ended.values()] == [5.0, 5.0]
    again.restart(again.books)
    ended = run(again, MONDAY + 31 * MINUTE, 29, lambda m: -m)
    assert list(ended) == [19, 29], "from the next whole block on"


def test_a_shadow_that_loses_block_after_block_is_found_and_demoted():
    harm = Harm(1.0)
    house = House(
        rules=(rule("pnl", "pnl_e_value", labels={"role": "shadow"}, threshold=20.0, action=Action.DEMOTE),)
    )
    fold, test, rng = house.fold2(), BettingTest(harm), np.random.default_rng(1)
    block = house.scope.sequences.block_ns
    begun = START - START % block + block
    cash, shown = 0, {}
    for at in range(begun - block // 2, begun + 60 * block, block // 2):
        loss = float(rng.choice([0.9, -0.2, 0.6]))
        if at % block == 0 and at > begun:
            lost = round(loss * 100_000 * 10**18 / 10_000)
            cash -= lost
            test.take(lost * 10_000 / (100_000 * 10**18))
        money = {n: Money(str(cash if "shadow" in n else 0), "0", gross="5") for n in BOOKS}
        books = {name: BookState({"USD": each}, True, 0, {}) for name, each in money.items()}
        fold.evaluate(at, {0: [Partial("d", 0, at, START, False, "", books)]})
        shown = {v.name: v.estimate for v in fold.values() if v.name in ("pnl_e_value", "pnl_e_detector")}
        if at > begun:
            assert shown["pnl_e_value"].n == test.blocks
    assert shown["pnl_e_value"].value == test.e_value > 20
    assert shown["pnl_e_detector"].value == test.detector
    assert shown["pnl_e_value"].extra["clip_share"] == 0.0
    assert shown["pnl_e_value"].status is Status.OK
    assert [e.type.split(".")[2] for e in fold.decisions] == ["demote"]
    assert fold.decisions[0].data.labels == {"role": "shadow"}

"""What is unknown for want of a rate says of which: figures, differences, the report, a restart."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from book_cases import DAY, NEW_YORK, SHADOW, TWIN, S, figure, holding, made, ns, take
from engine_cases import BOOKS, REAL, START, UNITS, House, keep

from monitor.daemon.report import report
from monitor.engine.books.rates import pairs_to
from monitor.engine.deployment import DeploymentFold
from monitor.engine.partials import BookState, Mark, Money
from monitor.stats.estimate import Estimate, Status

SOUND = holding(5)


def book(*currencies: str, fees: int = 0) -> BookState:
    """A book that has some of each currency, or has paid fees in it."""
    money = Money("0" if fees else "1", "0", "0", str(fees), "0", "0")
    return BookState(dict.fromkeys(currencies, money), True, 0, {}, (0, 0, 0), {})


def fold_of(books: dict[str, BookState], **house: Any) -> DeploymentFold:
    """A deployment at its second instant, with these books."""
    fold = House(**house).fold2()
    for at in (START, START + 100 * 10**6):
        fold.books.fold(0, books, {})
        fold.books.take(at, missing=False)
    return fold


def values(fold: DeploymentFold) -> dict[tuple[Any, ...], Estimate]:
    return {(v.name, v.labels, v.window): v.estimate for v in fold.values()}


def test_one_fee_in_a_currency_without_a_rate_is_named_by_all_that_it_makes_unknown():
    found = values(fold_of({REAL: book("EUR", fees=1), TWIN: SOUND, SHADOW: SOUND}))
    real = (("fills", "real"), ("role", "active"))
    for name in ("drawdown", "pnl_after_costs", "sharpe", "turnover", "win_rate"):
        estimate = found[name, real, "session"]
        assert (estimate.status, estimate.value) == (Status.UNKNOWN, None)
        assert estimate.extra["no_rate"] == ["EUR"], name
    for name in ("equity", "gross_exposure"):
        assert found[name, real, 0].extra["no_rate"] == ["EUR"]
    assert found["execution_effect", (), "session"].extra["no_rate"] == ["EUR"]
    assert found["pnl_divergence", (("role", "shadow"),), "session"].extra["no_rate"] == ["EUR"]
    assert "no_rate" not in found["model_effect", (("role", "shadow"),), "session"].extra, "paper is sound"


def test_a_difference_names_the_currencies_of_both_books_sorted():
    found = values(fold_of({REAL: book("EUR", "CHF"), TWIN: book("GBP", "EUR"), SHADOW: SOUND}))
    assert found["execution_effect", (), "session"].extra["no_rate"] == ["CHF", "EUR", "GBP"]


def test_no_more_than_eight_are_named():
    names = [f"X{i}" for i in range(9)]
    found = values(fold_of({each: book(*reversed(names)) for each in BOOKS}))
    for (name, labels, window), estimate in found.items():
        if "no_rate" in estimate.extra:
            assert estimate.extra["no_rate"] == names[:8], (name, labels, window)


def test_what_is_unknown_for_another_reason_names_no_currency():
    unknown = holding(5, complete=False)
    found = values(fold_of({REAL: unknown, TWIN: SOUND, SHADOW: SOUND}))
    assert found["equity", (("fills", "real"), ("role", "active")), 0].status is Status.UNKNOWN
    assert not any("no_rate" in estimate.extra for estimate in found.values())


def test_the_report_names_them_beside_the_book_and_where_there_are_none_says_nothing():
    fold = fold_of({REAL: book("EUR"), TWIN: SOUND, SHADOW: SOUND})
    group: Any = SimpleNamespace(listed=lambda _: UNITS, streams=("features", "orders"))
    shown = json.loads(report(group, {"d": fold}, {"d": START}))["deployments"]["d"]["books"]
    assert (shown[REAL]["equity"], shown[REAL]["no_rate"]) == (None, ["EUR"])
    assert "no_rate" not in shown[TWIN]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_session_that_closed_without_a_rate_still_says_so_the_next_morning(restarted):
    house = House(calendar=NEW_YORK, windows_ns=(DAY,), tick=60 * S, evaluation=60 * S)
    friday = ns("2026-03-06T15:58:00-05:00")
    fold = house.fold2()
    take(fold.books, friday, {REAL: SOUND, TWIN: SOUND, SHADOW: SOUND})
    take(fold.books, friday + 60 * S, {REAL: book("EUR", fees=1)})
    take(fold.books, friday + 120 * S)
    if restarted:
        kept: dict[str, bytes] = {}
        keep(kept, fold.books.records())
        fold = house.fold2()
        fold.books.restore(kept)
    take(fold.books, friday + 3600 * S, {REAL: book("USD")})
    found = values(fold)
    real = (("fills", "real"), ("role", "active"))
    assert found["drawdown", real, "session"].extra["no_rate"] == ["EUR"]
    assert found["equity", real, 0].status is Status.OK


def test_it_is_named_until_the_rate_is_there():
    books = made()
    take(books, START, {REAL: book("EUR")})
    standing = books.standing(REAL)
    assert standing is not None
    assert standing.no_rate == ("EUR",)
    take(books, START + 60 * S, {REAL: holding(0, currency="EUR")})
    standing = books.standing(REAL)
    assert standing is not None
    assert standing.no_rate == ()


def apart_in(currency: str, gap: int, cash: int = 5) -> BookState:
    """A paper book in dollars, while the real one holds something else in another currency."""
    return msgspec.structs.replace(holding(cash), gap={currency: str(gap)})


def test_a_paper_book_needs_no_rate_of_what_the_real_one_holds_alone():
    real = msgspec.structs.replace(book("EUR"), money={"EUR": Money("-7", "7", gross="7")})
    paper = apart_in("EUR", 7)
    found = values(fold_of({REAL: real, TWIN: paper, SHADOW: paper}))
    of_paper = (("fills", "paper"), ("role", "active"))
    assert (found["equity", of_paper, 0].status, found["equity", of_paper, 0].value) == (Status.OK, 5)
    assert found["drawdown", of_paper, "session"].status is Status.OK
    assert found["model_effect", (("role", "shadow"),), "session"].status is Status.OK
    gap = found["position_gap", (), "session"]
    assert (gap.status, gap.value, gap.extra["no_rate"]) == (Status.UNKNOWN, None, ["EUR"])


def test_where_paper_must_be_near_what_is_held_effects_say_which_rate_that_is_not_known_for():
    paper = apart_in("EUR", 7)
    real = msgspec.structs.replace(book("EUR"), money={"EUR": Money("-7", "7", gross="7")})
    found = values(fold_of({REAL: real, TWIN: paper, SHADOW: paper}, measured={"max_position_gap": 0.1}))
    effect = found["model_effect", (("role", "shadow"),), "session"]
    assert (effect.status, effect.extra["no_rate"]) == (Status.UNKNOWN, ["EUR"])


def test_an_old_rate_of_what_the_real_book_holds_alone_makes_no_paper_book_stale():
    pairs = pairs_to("USD", {"EURUSD": "FX"}, {"FX": (1, 1)})
    books = made(pairs=pairs, staleness_ns=5 * S)
    real = msgspec.structs.replace(book("EUR"), money={"EUR": Money("-7", "7", gross="7")})
    says = {REAL: real, TWIN: apart_in("EUR", 7), SHADOW: SOUND}
    take(books, START, says, {"FX": Mark(2, START, False)})
    assert books.standing(TWIN).gap == 14
    take(books, START + 60 * S, {TWIN: apart_in("EUR", 7, 6)})
    assert books.standing(REAL).stale
    assert books.standing(TWIN).status is Status.OK


def test_a_drawdown_that_is_unknown_shows_no_equity():
    sound = figure(fold_of({REAL: SOUND, TWIN: SOUND, SHADOW: SOUND}).books, "drawdown", "session", START)
    assert "equity" in sound.extra
    books = fold_of({REAL: book("EUR", "USD"), TWIN: SOUND, SHADOW: SOUND}).books
    for name in ("drawdown", "pnl"):
        found = figure(books, name, "session", START)
        assert (found.status, found.value) == (Status.UNKNOWN, None)
        assert not {"equity", "fees"} & found.extra.keys()

"""After which times trades are held against the mid: as written, and refused where that cannot be."""

from __future__ import annotations

import pytest
from configurations import REMOVED, only_problem, settings

from monitor.daemon.markout_scope import markout_rules_of
from monitor.engine.skill_rules import UNLISTED_SYMBOLS
from monitor.settings.instruments import Instrument, Instruments

S = 1_000_000_000
AT = "deployments.btc.markouts"


def test_what_is_not_written_is_1_5_30_and_300_seconds():
    found = settings(**{AT: REMOVED})
    rules = markout_rules_of(found, found.deployments["btc"])
    assert rules is not None
    assert rules.horizons_ns == (S, 5 * S, 30 * S, 300 * S)
    assert rules.by_notional


def test_without_horizons_there_are_no_markouts():
    found = settings(**{f"{AT}.horizons": []})
    assert markout_rules_of(found, found.deployments["btc"]) is None


@pytest.mark.parametrize(
    ("horizons", "says"), [(["1s", "1000ms"], "listed twice"), (["0s"], "longer than zero")]
)
def test_horizons_that_cannot_be_are_refused(horizons, says):
    problem = only_problem({f"{AT}.horizons": horizons})
    assert problem.key.startswith(f"{AT}.horizons")
    assert says in f"{problem.message} {problem.remedy}"


@pytest.mark.parametrize(
    ("currencies", "by_notional"), [(("USD", "USD"), True), (("EUR",), True), (("USD", "JPY"), False)]
)
def test_notional_in_several_currencies_weighs_nothing(currencies, by_notional):
    found = settings()
    listed = {f"S{i}": Instrument(symbol=f"S{i}", currency=c) for i, c in enumerate(currencies)}
    instruments = Instruments(listed=listed, open=False, currency="USD")
    found = found.model_copy(update={"instruments": instruments})
    rules = markout_rules_of(found, found.deployments["btc"])
    assert (rules.by_notional, rules.symbols) == (by_notional, len(currencies))


def test_open_instruments_are_of_one_currency_and_share_out_rows_to_some_symbols():
    found = settings(instruments="open")
    rules = markout_rules_of(found, found.deployments["btc"])
    assert (rules.by_notional, rules.symbols) == (True, UNLISTED_SYMBOLS)

"""Quantiles of predictions as the reference froze them, quantities by symbol; what is refused, or doubted."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from monitor.daemon.paper_scope import paper_doubts, paper_problems, paper_rules_of, quantile, targets_of
from monitor.settings.instruments import Instrument
from monitor.settings.paper import PaperSettings
from monitor.stats.reference import Reference, build_reference
from monitor.trading.targets import Linear, Quantile, Sign
from monitor.trading.units import InstrumentUnits

ARTIFACTS = {"active": "a" * 64, "shadow": "b" * 64}
KINDS = {"active": "return", "shadow": "probability"}
ROWS = np.random.default_rng(3).normal(size=20_000)


def reference(**predictions: np.ndarray) -> Reference:
    return build_reference({"f": ROWS}, {name * 64: values for name, values in predictions.items()})


def settings(**written: object) -> PaperSettings:
    return PaperSettings.model_validate(written)


@pytest.mark.parametrize("level", ["0.05", "0.2", "0.5", "0.8", "0.95"])
def test_quantiles_are_those_of_the_rows_within_a_bin(level):
    found = quantile(reference(a=ROWS).predictions["a" * 64], Decimal(level))
    assert found is not None
    # 64 bins at quantiles: linear within one is off by a small part of its width.
    assert found == pytest.approx(np.quantile(ROWS, float(level)), abs=0.02)


def test_a_quantile_in_an_open_end_bin_is_not_told():
    known = reference(a=ROWS).predictions["a" * 64]
    assert quantile(known, Decimal("0.999")) is None
    assert quantile(known, Decimal("0.001")) is None


def test_each_role_has_the_quantiles_of_its_own_model():
    made = targets_of(
        settings(target="quantile", quantile="0.9"), KINDS, ARTIFACTS, reference(a=ROWS, b=5 + 2 * ROWS)
    )
    active, shadow = made["active"], made["shadow"]
    assert isinstance(active, Quantile)
    assert isinstance(shadow, Quantile)
    assert (shadow.lower, shadow.upper) == pytest.approx((5 + 2 * active.lower, 5 + 2 * active.upper))


def test_probabilities_want_nothing_at_one_half():
    sign = targets_of(settings(threshold=0.1), KINDS, ARTIFACTS, None)
    assert sign == {"active": Sign(0.1, 0.0), "shadow": Sign(0.1, 0.5)}
    linear = targets_of(settings(target="linear", scale=0.2), KINDS, ARTIFACTS, None)
    assert linear == {"active": Linear(0.2, 0.0, 0.0), "shadow": Linear(0.2, 0.0, 0.5)}


def test_a_quantile_target_is_refused_where_the_reference_tells_none():
    quantiles = settings(target="quantile")
    [(key, message, remedy)] = paper_problems(quantiles, ARTIFACTS, None)
    assert (key, "there is none" in message, "baseline" in remedy) == ("paper.target", True, True)
    [(key, message, _)] = paper_problems(quantiles, ARTIFACTS, reference(a=ROWS))
    assert (key, "`shadow`" in message) == ("paper.target", True)
    both = reference(a=ROWS, b=-ROWS)
    far = settings(target="quantile", quantile="0.999")
    assert [key for key, *_ in paper_problems(far, ARTIFACTS, both)] == ["paper.quantile"] * 2
    assert not list(paper_problems(quantiles, ARTIFACTS, both))
    assert not list(paper_problems(settings(), ARTIFACTS, None))


def test_a_volume_that_is_a_category_is_refused():
    text = build_reference({"venue": np.array([1.0, 2.0, 1.0, 1.0])}, {}, categorical={"venue"})
    paper = settings(participation={"share": "0.1", "volume": "venue"})
    assert [key for key, *_ in paper_problems(paper, ARTIFACTS, text)] == ["paper.participation.volume"]


def instrument(symbol: str, **sizes: str) -> Instrument:
    return Instrument(symbol=symbol, **{name: Decimal(size) for name, size in sizes.items()})


def test_one_quantity_of_instruments_that_are_worth_unlike_much_is_doubted():
    es, mes = instrument("ES", multiplier="50"), instrument("MES", multiplier="5")
    btc = instrument("BTC", multiplier="1")
    assert list(paper_doubts(settings(quantity="2"), [es, mes])) == [], "ten times is alike"
    [said] = paper_doubts(settings(quantity="2"), [es, mes, btc])
    assert said == (
        "paper.quantity: 2 of each of 3 instruments, whose multiplier differs (BTC 1, ES 50): model effect "
        "will be that of the dearest; give quantity by symbol"
    )
    by_tick = [instrument("BTC", tick_size="0.01"), instrument("DOGE", tick_size="0.00001")]
    [said] = paper_doubts(settings(quantity="2"), by_tick)
    assert "whose tick_size differs (DOGE 0.00001, BTC 0.01)" in said
    own = {"default": "2", "ES": "1"}
    assert list(paper_doubts(settings(quantity=own), [es, mes, btc])) == []
    assert list(paper_doubts(settings(quantity={"ES": "1", "BTC": "2"}), [es, btc])) == []
    assert list(paper_doubts(settings(quantity="2"), [])) == []


def test_the_broker_takes_the_quantity_of_each_symbol():
    rules = paper_rules_of(settings(quantity={"default": "0.1", "ES": "2"}))
    sizes = Decimal("0.25"), Decimal("0.1"), Decimal(1), "USD"
    units = [InstrumentUnits.of(symbol, *sizes) for symbol in ("ES", "X")]
    assert [rules.lots(each) for each in units] == [20, 1]

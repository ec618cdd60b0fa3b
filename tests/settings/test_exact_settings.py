"""Decimals of any size are refused with their key, or everything that is made of them can be made."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

from configurations import changed, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.daemon.paper_scope import paper_rules_of
from monitor.settings.loading import from_mapping
from monitor.trading.marks import MarkRules, Marks
from monitor.trading.paper_rules import Caps, Charges, Participation
from monitor.trading.units import InstrumentUnits, money_of

AMOUNT = st.builds(
    "{}e{}".format, st.integers(min_value=1, max_value=10**40 - 1), st.integers(min_value=-40, max_value=36)
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "paper.quantity",
                "paper.slippage_bps",
                "paper.fee_bps",
                "paper.half_spread_bps",
                "paper.max_exposure",
                "paper.max_turnover",
                "paper.participation.share",
                "paper.quantile",
                "capital.amount",
                "books.mark_band_bps",
                "books.max_spread_bps",
                "skill.cost_bps",
            ]
        ),
        AMOUNT,
        min_size=1,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_decimal_is_taken_by_what_is_made_of_it_or_refused_with_its_key(written):
    changes = {f"deployments.btc.{key}": value for key, value in written.items()}
    if "paper.participation.share" in written:
        changes["deployments.btc.paper.participation.volume"] = "v"
    if "paper.quantile" in written:
        changes["deployments.btc.paper.target"] = "quantile"
    found = problems(changes)
    assert {problem.key.removeprefix("deployments.btc.") for problem in found} <= written.keys()
    if not found:
        made = from_mapping(changed(changes), Path("/x"))
        deployment = made.deployments["btc"]
        rules = paper_rules_of(deployment.paper)
        Charges(rules).of(10**18, bare=True)
        Caps(rules).exposure(0, 1, 1, 10**18)
        Marks([], MarkRules(deployment.books.mark_band_bps, deployment.books.max_spread_bps))
        assert deployment.capital is not None
        assert money_of(deployment.capital.amount) > 0
        assert math.isfinite(float(deployment.skill.cost_bps or 0))
        participation = deployment.paper.participation
        if participation is not None:
            units = InstrumentUnits.of("X", Decimal("0.01"), Decimal("1e-8"), Decimal(1), "USD")
            assert Participation(participation.share).least(units) > 0

"""What trades of a deployment are held against after them, as configured."""

from __future__ import annotations

from monitor.engine.markout_rules import MarkoutRules
from monitor.engine.skill_rules import UNLISTED_SYMBOLS
from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment
from monitor.trading.markout import BPS


def markout_rules_of(settings: Settings, deployment: Deployment) -> MarkoutRules | None:
    """Mids as of the configured times after a trade, None where none is; weights only where all notional is
    in one currency."""
    if not deployment.markouts.horizons_ns:
        return None
    instruments = settings.instruments
    currencies = {instrument.currency for instrument in instruments.listed.values()}
    if instruments.open:
        currencies.add(instruments.currency)
    return MarkoutRules(
        horizons_ns=deployment.markouts.horizons_ns,
        limit=deployment.markouts.limit,
        symbols=UNLISTED_SYMBOLS if instruments.open else len(instruments.listed),
        max_spread=float(deployment.books.max_spread_bps) / BPS,
        evaluation_ns=deployment.grids.evaluation_interval_ns,
        stale_ns=deployment.books.mark_staleness_ns,
        by_notional=len(currencies) == 1,
    )

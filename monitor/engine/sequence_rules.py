"""`SequenceRules`: how a deployment's sequences cut time, and what they test, as its configuration says."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.stats.betting import Harm

_SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class SequenceRules:
    """Tests take blocks of `block_ns`, detectors of changes panes of `pane_ns`: multiples of the finest pane.

    `error`: the hypothesis about failed answers, a share of the rows; `loss`: about the loss against labels,
    None where it has the bound of the models' kind; `pnl`: about -model_effect of a block in bps of the
    capital, None: not tested. `delta` of the detectors; `changes`: the metrics of them
    that rules name, since no others are made.
    """

    block_ns: int = 600 * _SECOND_NS
    pane_ns: int = 60 * _SECOND_NS
    error: Harm = field(default_factory=lambda: Harm(1.0))
    loss_bound: float | None = None
    loss_margin: float = 0.0
    pnl: Harm | None = None
    delta: float = 0.002
    changes: frozenset[str] = frozenset()

"""How differently two models answer the same rows: PSI and KS of one's answers against the other's."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.stats.estimate import Estimate, Status
from monitor.stats.ks import binned_ks
from monitor.stats.psi import SAMPLES_PER_BIN, collapse, psi
from monitor.stats.reference import Distribution


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """`psi` in nats; `ks` the binned distance, the true one lies in [`ks`, `ks_bound`]. None below `n_needed`
    rows: ten for each group of PSI that the first model fills."""

    n: int
    n_needed: int
    psi_bins: int
    psi: float | None
    ks: float | None
    ks_bound: float | None

    def estimates(self, from_ns: int, to_ns: int) -> dict[str, Estimate]:
        """`psi` and `ks` over `[from_ns, to_ns)`."""

        def said(value: float | None, **extra: object) -> Estimate:
            return Estimate(
                value=value,
                n=self.n,
                status=Status.INSUFFICIENT if value is None else Status.OK,
                from_ns=from_ns,
                to_ns=to_ns,
                extra={"n_needed": self.n_needed, **extra},
            )

        return {
            "psi": said(self.psi, bins=self.psi_bins),
            "ks": said(self.ks, method="binned", upper=self.ks_bound),
        }


def divergence(bins: Distribution, first: NDArray[np.int64], second: NDArray[np.int64]) -> Divergence:
    """PSI and binned KS of the second model's answers against the first's on the same rows.

    Both as counts by bin of `bins` (the first model's reference), (bins + 1,), the last place empty: a row
    that either did not answer is left out before. Both saw the same rows, so this is no drift, and it says
    nothing of who answers what: two models can be distributed alike and agree on no row. There is no p-value:
    the two answers to a row depend on each other.

    >>> from monitor.stats.reference import freeze
    >>> bins = freeze(np.array([0.0, 1.0] * 50))
    >>> found = divergence(bins, np.array([50, 50, 0]), np.array([25, 75, 0]))
    >>> round(found.psi, 2), found.ks
    (0.27, 0.25)

    Source: as `psi.psi` and `ks.binned_ks`.
    """
    ours, theirs = collapse(first, bins.psi_starts), collapse(second, bins.psi_starts)
    n = int(first.sum())
    needed = SAMPLES_PER_BIN * sum(1 for count in ours if count)
    enough = n > 0 and n >= needed
    distance, bound = binned_ks(first[None, :-1].astype(np.float64), second[None, :-1].astype(np.float64))
    return Divergence(
        n=n,
        n_needed=needed,
        psi_bins=sum(1 for a, b in zip(ours, theirs, strict=True) if a or b),
        psi=psi(ours, theirs) if enough else None,
        ks=float(distance[0]) if enough else None,
        ks_bound=float(bound[0]) if enough else None,
    )

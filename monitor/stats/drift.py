"""How far the values of a window have moved from the reference, and how unlikely that is by chance.

All columns at once from their bin counts: PSI and KS against the whole reference, and the calibrated forms
against what the reference expects at the window's time of day. Knows of panes only their time and size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

from monitor.stats.calibration import MIN_CYCLES, shares_by_slot
from monitor.stats.estimate import Estimate, Status
from monitor.stats.grouping import MAX_GROUPS, equal_mass_groups
from monitor.stats.ks import Law, distance, distance_and_bound, law_of
from monitor.stats.psi import SAMPLES_PER_BIN
from monitor.stats.reference import Distribution, psi_groups
from monitor.stats.saddlepoint import tail
from monitor.stats.season import DAY_NS, SLOT_NS, SLOTS, slot_seconds

N_EFF_PER_BIN = 15
"""Independent values wanted for each filled group of PSI, for its null law to be that of chi-squares."""

_GROUPS = np.arange(MAX_GROUPS)

_COVERED = 0.9
"""Share of a window for which the reference must know the time of day."""


class DriftReading(msgspec.Struct, frozen=True, kw_only=True):
    """Drift of one column over a window. Without unit; None where it could not be said.

    `psi` and `ks` compare with the whole reference, D <= `ks_bound` being certain; `psi_expected` and
    `ks_expected` with what it holds at the window's time of day; `psi_excess` = max(0, psi_expected - its
    mean under no drift); `psi_p` and `ks_p` = chance of as much under no drift. `calibration` is "iid" where
    there is none (`fault` says why): that mean is then the one of independent draws, p-values are None.
    `n_eff` = values worth of independent ones in PSI, of which p-values want `n_eff_needed`.

    Realised rates of `psi_p` were proven against nominal 1e-2 and 1e-4; below 1e-4 it is an extrapolation.
    """

    n: int
    n_needed: int
    null_rate: float | None
    psi: float | None
    psi_expected: float | None
    psi_excess: float | None
    psi_p: float | None
    ks: float | None
    ks_bound: float | None
    ks_expected: float | None
    ks_p: float | None
    n_eff: float | None
    n_eff_needed: int
    reference_n: int
    psi_bins: int
    calibration: Literal["panes", "iid"]
    fault: str | None
    design_effect: float | None
    correlation_s: float | None
    categorical: bool

    def estimates(self, from_ns: int, to_ns: int) -> dict[str, Estimate]:
        """`psi`, `psi_excess`, `psi_p_value`, `ks`, `ks_p_value` over `[from_ns, to_ns)`."""
        size: dict[str, Any] = {"n_needed": self.n_needed, "reference_n": self.reference_n}
        law: dict[str, Any] = {
            **size,
            "calibration": self.calibration,
            "n_eff_needed": self.n_eff_needed,
            "design_effect": self.design_effect,
            "correlation_s": self.correlation_s,
        }
        if self.fault is not None:
            law["reason"] = self.fault

        def said(value: float | None, extra: dict[str, Any]) -> Estimate:
            return Estimate(
                value=value,
                n=self.n,
                n_eff=self.n_eff,
                status=Status.INSUFFICIENT if value is None else Status.OK,
                from_ns=from_ns,
                to_ns=to_ns,
                extra=extra,
            )

        psi = {**size, "bins": self.psi_bins, "null_rate": self.null_rate}
        estimates = {
            "psi": said(self.psi, psi),
            "psi_excess": said(self.psi_excess, {**law, "psi_expected": self.psi_expected}),
            "psi_p_value": said(self.psi_p, {**law, "psi_expected": self.psi_expected}),
            "ks": said(self.ks, {**size, "ks_upper_bound": self.ks_bound}),
            "ks_p_value": said(self.ks_p, {**law, "ks_expected": self.ks_expected}),
        }
        if self.categorical:
            no_order = Estimate(
                value=None, n=self.n, status=Status.NOT_APPLICABLE, from_ns=from_ns, to_ns=to_ns
            )
            estimates["ks"] = estimates["ks_p_value"] = no_order
        return estimates


class DriftReader:
    """Reads drift of a fixed list of columns from counts that are laid out as `Binner` lays them out.

    >>> from monitor.stats.reference import freeze
    >>> reader = DriftReader([freeze(np.arange(1000.0))])
    >>> live = np.zeros((1, 65), np.int64)
    >>> live[0, 32:64] = 10  # only the upper half comes
    >>> reading, = reader.read(live, [(0, 60 * 10**9)])
    >>> round(reading.ks, 1), reading.psi > 1, reading.psi_p, reading.fault
    (0.5, True, None, 'uncalibrated: the reference was built without times')
    """

    def __init__(self, distributions: Sequence[Distribution]) -> None:
        columns = len(distributions)
        self.stride = max((len(d.counts) for d in distributions), default=1) + 1
        bins = self.stride - 1
        self._distributions = tuple(distributions)
        self._whole = np.zeros((columns, self.stride), np.int64)
        self._whole_groups = np.zeros((columns, bins), np.int64)
        self._fixed = np.ones(columns, np.bool_)
        self._shares = np.zeros((SLOTS, columns, self.stride))
        self._slot_n = np.zeros((columns, SLOTS))
        self._slot_rate = np.zeros((columns, SLOTS))
        self._scales = np.ones((columns, SLOTS))
        self._eigenvalues = np.zeros((columns, MAX_GROUPS))
        self._edge_effects = np.ones((columns, max(1, bins - 1)))
        self._edges = np.zeros((columns, max(1, bins - 1)), np.bool_)
        self._blocks = np.ones(columns)
        self._cycles = [0] * columns
        self._faults: list[str | None] = []
        for column, distribution in enumerate(distributions):
            self._add(column, distribution)
        self._whole_n = self._whole.sum(axis=1)
        self._whole_shares = self._whole / np.maximum(self._whole_n, 1)[:, None]
        self._whole_law = law_of(self._whole[:, :-1].astype(np.float64))
        self._whole_places = _places(self._whole_groups)
        self._whole_joined = _joined(self._whole, self._whole_places)
        kinds = np.count_nonzero(self._whole_joined, axis=1)
        self._needed, self._n_eff_needed = SAMPLES_PER_BIN * kinds, N_EFF_PER_BIN * kinds
        # Of the mean eigenvalue.
        self._known = np.maximum(1, np.count_nonzero(self._eigenvalues, axis=1))
        self._eigenvalue_sums = self._eigenvalues.sum(axis=1)
        self._slot_filled = self._slot_n > 0
        self._slot_sizes = np.where(self._slot_filled, self._slot_n, 1.0)

    def _add(self, column: int, distribution: Distribution) -> None:
        width = len(distribution.counts)
        self._whole[column, :width] = distribution.counts
        self._whole[column, -1] = distribution.null_count
        self._whole_groups[column, :width] = psi_groups(distribution)
        calibration = distribution.calibration
        fault = "the reference was built without times" if calibration is None else calibration.fault
        self._faults.append(fault)
        if calibration is None or fault is not None:
            return
        profile = np.array(calibration.profile, np.int64)
        shares = np.nan_to_num(shares_by_slot(profile))
        self._shares[:, column, :width], self._shares[:, column, -1] = shares[:, :-1], shares[:, -1]
        self._slot_n[column] = profile.sum(axis=1)
        self._slot_rate[column] = self._slot_n[column] / max(1, calibration.cycles) / (SLOT_NS / 1e9)
        self._scales[column] = calibration.scales
        self._eigenvalues[column, : len(calibration.eigenvalues)] = calibration.eigenvalues
        self._edge_effects[column, : width - 1] = np.maximum(1.0, calibration.edge_effects)
        self._edges[column, : width - 1] = True
        self._blocks[column] = calibration.blocks
        self._cycles[column] = calibration.cycles
        # More bins than groups: joined anew at each time of day, as they were when calibrated.
        self._fixed[column] = distribution.kind == "categorical" or width <= MAX_GROUPS

    def read(
        self,
        live: NDArray[np.int64],
        spans_ns: Sequence[tuple[int, int]],
        span_n: Sequence[int] | None = None,
    ) -> list[DriftReading]:
        """One reading a column from `live`, (columns, stride) counts with missing values at the last place.

        `spans_ns`: the `[from_ns, to_ns)` that the window is made of, its panes or the whole, in order;
        `span_n`: events in each. Without it events are thought to come at the reference's rate.
        """
        n = live.sum(axis=1)
        counts = live.astype(np.float64)
        faults, expected = self._expected(spans_ns, span_n)
        law, live_law = law_of(expected.shares[:, :-1]), law_of(counts[:, :-1])
        places = _places(
            np.where(
                self._fixed[:, None],
                self._whole_groups,
                equal_mass_groups(expected.shares[:, :-1], MAX_GROUPS, law.up_to),
            )
        )
        # Both references at once: half the calls.
        references = (self._whole_joined, _joined(expected.shares, places) * expected.n[:, None])
        joined = (_joined(counts, self._whole_places), _joined(counts, places))
        distances, filled = _psi(
            np.concatenate(references),
            np.concatenate((self._whole_n, expected.n)),
            np.concatenate(joined),
            np.concatenate((n, n)),
        )
        psi, psi_expected = distances[: len(n)], distances[len(n) :]
        psi_bins, expected_bins = filled[: len(n)], filled[len(n) :]
        counted = np.minimum(n, expected.due)
        noise = expected.scale * _inverse(counted, expected.n)
        # Groups that only live values fill wander as independent draws do, for want of anything better.
        eigenvalues = np.where(expected.calibrated[:, None], self._eigenvalues, 0.0)
        weights = np.where((eigenvalues == 0) & ((expected_bins - 1)[:, None] > _GROUPS), 1.0, eigenvalues)
        mean = noise * weights.sum(axis=1)
        effect = np.maximum(1.0, expected.scale * self._eigenvalue_sums / self._known)
        n_eff = counted / effect
        enough = (n >= self._needed) & (n > 0) & (self._whole_n > 0)
        judged = enough & (n_eff >= self._n_eff_needed) & expected.calibrated
        psi_p = np.full(len(n), np.nan)
        psi_p[judged] = tail(
            weights[judged] * noise[judged, None], psi_expected[judged], self._blocks[judged]
        )
        ks, ks_bound = distance_and_bound(self._whole_law, live_law)
        ks_expected = distance(law, live_law)
        ks_p = self._ks_p(ks_expected, expected, law, live_law)
        null_rate = live[:, -1] / np.maximum(n, 1)
        excess = np.maximum(0.0, psi_expected - mean)
        # As Python's numbers, one conversion an array.
        columns = (n, null_rate, psi, psi_expected, excess, psi_p, ks, ks_bound, ks_expected, ks_p)
        sizes = (n_eff, self._n_eff_needed, self._whole_n, psi_bins, effect, self._needed, enough, judged)
        rows = zip(*(each.tolist() for each in (*columns, *sizes)), strict=True)
        return [
            _reading(distribution, row, fault)
            for distribution, row, fault in zip(self._distributions, rows, faults, strict=True)
        ]

    def _expected(
        self, spans_ns: Sequence[tuple[int, int]], span_n: Sequence[int] | None
    ) -> tuple[list[str | None], _Expected]:
        """Why there is no calibration for such a window, by column, and what is expected of it."""
        seconds = slot_seconds(spans_ns)
        time = seconds.sum(axis=0)
        if span_n is None:
            weight = time * self._slot_n
        else:
            length = np.maximum(seconds.sum(axis=1, keepdims=True), 1e-9)
            events = seconds / length * np.array(span_n, np.float64)[:, None]
            weight = events.sum(axis=0) * self._slot_filled
        total = weight.sum(axis=1, keepdims=True)
        weight /= np.where(total > 0, total, 1.0)
        rests_on = (weight * weight / self._slot_sizes).sum(axis=1)
        covered = (time * self._slot_filled).sum(axis=1) / max(1e-9, float(time.sum()))
        faults = self._faults_of(covered, sum(end - begin for begin, end in spans_ns) < DAY_NS)
        calibrated = np.array([fault is None for fault in faults], np.bool_)
        # Of a short window most slots weigh nothing.
        slots = np.flatnonzero(time)
        shares = np.einsum("cs,scb->cb", weight[:, slots], self._shares[slots])
        sized = calibrated & (rests_on > 0)
        return faults, _Expected(
            calibrated=calibrated,
            shares=np.where(calibrated[:, None], shares, self._whole_shares),
            n=np.where(sized, 1 / np.where(sized, rests_on, 1.0), self._whole_n),
            scale=np.where(calibrated, (weight * self._scales).sum(axis=1), 1.0),
            due=np.where(calibrated, (time * self._slot_rate).sum(axis=1), np.inf),
        )

    def _faults_of(self, covered: NDArray[np.float64], short: bool) -> list[str | None]:
        faults: list[str | None] = []
        for fault, cycles, known in zip(self._faults, self._cycles, covered.tolist(), strict=True):
            if fault is not None:
                faults.append(f"uncalibrated: {fault}")
            elif short and cycles < MIN_CYCLES:
                faults.append(f"uncalibrated: under {MIN_CYCLES} daily cycles in the reference")
            elif known < _COVERED:
                faults.append("uncalibrated: no reference at this time of day")
            else:
                faults.append(None)
        return faults

    def _ks_p(
        self, distance: NDArray[np.float64], expected: _Expected, law: Law, live_law: Law
    ) -> NDArray[np.float64]:
        """`sum_j P(|t_blocks| > distance / sigma_j)` over the edges: at most so likely any wanders so far."""
        present = law.up_to[:, -1]
        below = law.below[:, : self._edges.shape[1]]
        counted = np.minimum(live_law.up_to[:, -1], expected.due * np.where(present > 0, present, 1.0))
        noise = expected.scale * _inverse(counted, expected.n * present)
        variance = np.maximum(0.0, below * (1 - below)) * self._edge_effects * noise[:, None]
        varies = self._edges & (variance > 0)
        # Student's t by the normal law (Wallace 1959), within 1 % down to 1e-6 and far quicker.
        dof = self._blocks[:, None]
        t2 = np.square(distance)[:, None] / np.where(varies, variance, 1.0)
        z = -(8 * dof + 1) / (8 * dof + 3) * np.sqrt(dof * special.log1p(t2 / dof))
        total = np.where(varies, 2 * special.ndtr(z), 0.0).sum(axis=1)
        return np.where(distance > 0, np.minimum(1.0, total), 1.0)


def _reading(distribution: Distribution, row: tuple[Any, ...], fault: str | None) -> DriftReading:
    """A column's figures, those left out that cannot be said."""
    n, null_rate, psi, psi_expected, excess, psi_p, ks, ks_bound, ks_expected, ks_p = row[:10]
    n_eff, n_eff_needed, reference_n, psi_bins, effect, needed, enough, judged = row[10:]
    calibration = distribution.calibration
    ordered = distribution.kind == "numeric"
    calibrated = fault is None
    if not enough:
        psi = psi_expected = excess = None
    elif calibrated and not judged:
        fault = "too few independent values"
    if not (enough and ordered):
        ks = ks_bound = ks_expected = None
    return DriftReading(
        n=n,
        n_needed=needed,
        null_rate=null_rate if n else None,
        psi=psi,
        psi_expected=psi_expected,
        psi_excess=excess,
        psi_p=psi_p if judged else None,
        ks=ks,
        ks_bound=ks_bound,
        ks_expected=ks_expected,
        ks_p=ks_p if judged and ordered else None,
        n_eff=n_eff if calibrated else None,
        n_eff_needed=n_eff_needed,
        reference_n=reference_n,
        psi_bins=psi_bins,
        calibration="panes" if calibrated else "iid",
        fault=fault,
        design_effect=effect if calibrated else None,
        correlation_s=calibration.correlation_s if calibration else None,
        categorical=not ordered,
    )


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the reference expects of a window, by column: shares of bins (missing values last), the reference
    values they rest on, spread over the mean one, and values due at the reference's rate. Of columns that are
    not `calibrated` it is the whole reference."""

    calibrated: NDArray[np.bool_]
    shares: NDArray[np.float64]
    n: NDArray[np.float64]
    scale: NDArray[np.float64]
    due: NDArray[np.float64]


def _inverse(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """`1 / first + 1 / second`, 0 where either is."""
    either = (first > 0) & (second > 0)
    return np.where(either, 1 / np.where(either, first, 1.0) + 1 / np.where(either, second, 1.0), 0.0)


def _places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each mass, missing values last, counts in `_joined`, by the group of each bin: flat."""
    columns = len(groups)
    places = np.concatenate((groups, np.full((columns, 1), MAX_GROUPS)), axis=1)
    places += np.arange(columns)[:, None] * (MAX_GROUPS + 1)
    return places.ravel()


def _joined(mass: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mass by bin, missing values last, summed by group, missing values last: (columns, 16)."""
    joined = np.bincount(places, mass.ravel(), minlength=len(mass) * (MAX_GROUPS + 1))
    return np.asarray(joined.reshape(len(mass), MAX_GROUPS + 1), np.float64)


def _psi(
    reference: NDArray[np.float64],
    reference_n: NDArray[Any],
    live: NDArray[np.float64],
    live_n: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """PSI of rows of masses, as `psi.psi` has it, and how many groups are filled on either side."""
    filled = (reference > 0) | (live > 0)
    kinds = np.count_nonzero(filled, axis=1)
    half = np.maximum(1, kinds) / 2
    p = np.where(filled, (reference + 0.5) / (reference_n + half)[:, None], 1.0)
    q = np.where(filled, (live + 0.5) / (live_n + half)[:, None], 1.0)
    # scipy's logarithm is that of the C library, the same on every processor; NumPy's is not.
    value = (special.rel_entr(p, q) + special.rel_entr(q, p)).sum(axis=1)
    return np.maximum(0.0, value), kinds

"""What rank agreement costs on a sample of 10,000 pairs, as ratios to SciPy on the same data in one run.

    python benchmarks/rank.py

CPU time of one evaluation: ranks, coefficient, standard error and effective size, where SciPy gives the
coefficient alone. river has no rank correlation; its per-event kin, Pearson's over a rolling window, stands
beside.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.stats import PearsonCorr
from river.utils import Rolling
from scipy.stats import kendalltau, spearmanr

from monitor.stats.agreement import Agreement
from monitor.stats.cross_section import InstantSample, cross_section_correlation
from monitor.stats.differences import abs_difference
from monitor.stats.rank import kendall_tau, rank_correlation
from monitor.stats.sample import PairSample, WindowSample, cap_for
from monitor.wire.keys import combine

K, REPEATS = 10_000, 15
PANES, SYMBOLS, INSTANTS = 60, 50, 100
ROWS = 512
GOAL_MS = 25.0

Floats = NDArray[np.float64]


def milliseconds(work: Callable[[], Any]) -> float:
    """Median CPU time of a call over some repeats."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return median(times) * 1e3


def answers(n: int) -> tuple[Floats, Floats]:
    """What two models say, to four digits."""
    rng = np.random.default_rng(7)
    a, noise = rng.normal(size=(2, n))
    return np.round(a, 4), np.round(a + noise, 4)


def panes_of(rows: int) -> list[PairSample]:
    """A window of panes, each cut to its cap."""
    a, b = answers(rows * PANES)
    hashes = combine(np.arange(rows * PANES, dtype=np.uint64))
    symbols = combine(hashes % np.uint64(SYMBOLS))
    panes = []
    for place in range(PANES):
        mine = slice(place * rows, (place + 1) * rows)
        pane = PairSample(cap_for(K, 1, PANES))
        pane.update(hashes[mine], np.arange(mine.start, mine.stop), symbols[mine], a[mine], b[mine])
        panes.append(PairSample.from_bytes(pane.to_bytes(), pane.spec))
    return panes


def instants() -> InstantSample:
    """10,000 pairs of 100 symbols at 100 instants."""
    a, b = answers(K)
    at = np.repeat(np.arange(INSTANTS), K // INSTANTS)
    sample = InstantSample(K)
    symbols = combine(np.tile(np.arange(K // INSTANTS, dtype=np.uint64), INSTANTS))
    sample.update(combine(at.astype(np.uint64)), at, symbols, a, b)
    return sample


def by_group(
    groups: NDArray[Any], coefficient: Callable[[Floats, Floats], Any], a: Floats, b: Floats
) -> None:
    """A coefficient of SciPy within each group, averaged by pairs."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    values = [coefficient(a[part], b[part]).statistic for part in parts]
    np.average(values, weights=[part.size for part in parts])


def fresh(window: WindowSample) -> WindowSample:
    """The same sample, of which nothing has been made yet."""
    return WindowSample(window.pairs, window.seen, window.non_finite, window.exact)


def largest_gap(work: Callable[[], Any]) -> float:
    """The longest that the event loop stood still while the work ran beside it, ms."""

    async def beside() -> float:
        gaps, done = [0.0], asyncio.create_task(asyncio.to_thread(work))
        while not done.done():
            start = time.perf_counter()
            await asyncio.sleep(0)
            gaps.append(time.perf_counter() - start)
        return max(gaps) * 1e3

    return median(asyncio.run(beside()) for _ in range(REPEATS))


def per_event() -> None:
    """What feeding costs a pair, ours by batch and river's by event."""
    a, b = answers(ROWS)
    hashes = combine(np.arange(ROWS, dtype=np.uint64))
    at, symbols = np.arange(ROWS), combine(hashes % np.uint64(SYMBOLS))
    sample, agreement, rolling = PairSample(666), Agreement((0.0, 0.0)), Rolling(PearsonCorr, window_size=K)

    def feed() -> None:
        sample.update(hashes, at, symbols, a, b)
        agreement.update(a, b)

    def river() -> None:
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            rolling.update(x, y)

    ours, theirs = milliseconds(feed) / ROWS * 1e3, milliseconds(river) / ROWS * 1e3
    print(f"feeding a pair, {ROWS} a batch: {ours:.3f} us; river's rolling Pearson: {theirs:.2f} us")


def main() -> None:
    panes = panes_of(2_000)
    window, across = PairSample.join(panes, K), instants()
    pairs, crossed = window.pairs, across.pairs()
    a, b = pairs.a, pairs.b
    cases: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("Spearman within 50 symbols", lambda: rank_correlation(fresh(window), 0, 1),
         lambda: by_group(pairs.symbol_key, spearmanr, a, b)),
        ("Kendall within 50 symbols", lambda: kendall_tau(fresh(window), 0, 1),
         lambda: by_group(pairs.symbol_key, kendalltau, a, b)),
        ("Spearman pooled", lambda: rank_correlation(fresh(window), 0, 1, pooled=True),
         lambda: spearmanr(a, b)),
        ("Spearman at 100 instants", lambda: cross_section_correlation(InstantSample.join([across], K), 0, 1),
         lambda: by_group(crossed.ts, spearmanr, crossed.a, crossed.b)),
        ("quantile of the difference", lambda: abs_difference(fresh(window), 0.99, 0, 1),
         lambda: np.quantile(np.abs(a - b), 0.99)),
    ]  # fmt: skip

    def everything() -> None:
        whole = PairSample.join(panes, K)
        rank_correlation(whole, 0, 1)
        rank_correlation(whole, 0, 1, pooled=True)
        kendall_tau(whole, 0, 1)
        for q in (0.5, 0.95, 0.99, 0.999):
            abs_difference(whole, q, 0, 1)
        cross_section_correlation(InstantSample.join([across], K), 0, 1)

    print(f"{'one evaluation, 10,000 pairs':36}{'ms':>8}{'SciPy':>8}{'ratio':>8}")
    for name, ours, theirs in cases:
        mine, scipys = milliseconds(ours), milliseconds(theirs)
        print(f"{name:36}{mine:8.2f}{scipys:8.2f}{mine / scipys:8.2f}")
    print(f"{'joining 60 panes':36}{milliseconds(lambda: PairSample.join(panes, K)):8.2f}")
    together = milliseconds(everything)
    print(f"{'all of a window and a shadow':36}{together:8.2f}   goal {GOAL_MS:g} off the loop")
    idle = largest_gap(lambda: time.sleep(together / 1e3))
    held = largest_gap(everything)
    print(f"loop held up meanwhile, at most: {held:.2f} ms; beside a thread that sleeps {idle:.2f}")
    print(f"4 windows, 3 shadows, every 5 s: {12 * together / 5_000:.1%} of a core")
    per_event()


if __name__ == "__main__":
    main()

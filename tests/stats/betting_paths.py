"""`BettingTest` over many sequences at once, for Monte Carlo; held against the class itself by its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from monitor.stats.betting import Harm

Floats = NDArray[np.float64]
BETS = 0.5 ** np.arange(8)


def courses(blocks: Iterator[Floats], harm: Harm) -> Iterator[tuple[Floats, Floats]]:
    """(log E, log M) of every sequence, (paths,), after each block; `blocks` gives one loss a path."""
    null = harm.null
    t, total, squares = 0, 0.0, 0.0
    log_e, logs, begins = 0.0, -np.inf, 0.0
    for losses in blocks:
        x = (np.clip(losses, -harm.bound, harm.bound) + harm.bound) / (2 * harm.bound)
        ahead = (0.5 + total) / (t + 1) - null
        bet = np.clip(ahead / ((0.25 + squares) / (t + 1) + ahead**2), 0, 0.5 / null)
        log_e = log_e + np.log1p(bet * (x - null))
        logs = np.logaddexp(logs, begins) + np.log1p(BETS[:, None] * 0.5 / null * (x - null))
        begins = np.where(np.minimum(losses, harm.bound) > harm.margin, 0.0, -np.inf)
        t, total = t + 1, total + x
        squares = squares + (x - (0.5 + total) / (t + 1)) ** 2
        yield log_e, np.logaddexp.reduce(logs) - np.log(len(BETS))


def first_time(courses_of: Iterator[Floats], log_threshold: float, paths: int) -> NDArray[np.int64]:
    """Number of blocks until a sequence reaches the threshold, (paths,); 0: it never does."""
    first = np.zeros(paths, np.int64)
    for t, log in enumerate(courses_of, 1):
        first[(first == 0) & (log >= log_threshold)] = t
    return first


def rows(draw: Callable[[tuple[int, int]], Floats], paths: int, blocks: int) -> Iterator[Floats]:
    """Independent blocks, drawn 500 at a time."""
    for start in range(0, blocks, 500):
        yield from draw((min(500, blocks - start), paths))


def autoregressive(
    rng: np.random.Generator, phi: float, paths: int, blocks: int, length: int = 1
) -> Iterator[Floats]:
    """Means of blocks of `length` events of a stationary AR(1) of unit variance."""
    state = rng.normal(size=(1, paths))
    scale = np.sqrt(1 - phi * phi)
    chunk = max(1, 20_000 // length)
    for start in range(0, blocks, chunk):
        count = min(chunk, blocks - start)
        noise = scale * rng.normal(size=(count * length, paths))
        events, _ = lfilter([1.0], [1.0, -phi], noise, axis=0, zi=phi * state)
        state = events[-1:]
        yield from events.reshape(count, length, paths).mean(axis=1)

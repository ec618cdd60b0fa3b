"""Binning by lookup table equals a binary search for every float there is."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stats.binning import BinCounts, Binner
from monitor.stats.reference import Distribution, freeze


def columns():
    """Reference columns of every sort that trouble a grid."""
    rng = np.random.default_rng(7)
    n = 5_000
    return {
        "normal": rng.standard_normal(n),
        "shifted": 1e9 + rng.standard_normal(n),
        "lognormal": rng.lognormal(0, 3, n),
        "cauchy": rng.standard_cauchy(n),
        "tiny": rng.standard_normal(n) * 1e-310,
        "huge": rng.uniform(-1.0, 1.0, n) * 1.79e308,
        "discrete": rng.integers(0, 5, n).astype(float),
        "two": rng.choice([0.0, 1.0], n),
        "constant": np.full(n, 3.25),
        "nothing": np.full(n, np.nan),
        "atom": np.where(rng.random(n) < 0.6, 0.0, rng.standard_normal(n)),
    }


def oracle(edges, column, missing_place):
    return [missing_place if np.isnan(x) else int(np.searchsorted(edges, x, side="right")) for x in column]


def adversaries(distributions):
    """Rows of edges, their neighbours in floating point, and what lies far outside."""
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 5e-324, -5e-324, 1e6, -1e6]
    most = max(len(d.edges) for d in distributions)
    rows = []
    for d in distributions:
        edges = np.resize(np.array(d.edges or (0.0,)), most)
        near = [
            edges,
            np.nextafter(edges, np.inf),
            np.nextafter(edges, -np.inf),
            edges / 2 + np.roll(edges, 1) / 2,
        ]
        rows.append(np.concatenate([*near, special]))
    return np.array(rows).T.copy()


def test_bins_equal_a_binary_search_at_edges_their_neighbours_and_extremes():
    distributions = [freeze(column) for column in columns().values()]
    binner = Binner(distributions)
    matrix = adversaries(distributions)
    bins = binner.bins(matrix)
    for place, distribution in enumerate(distributions):
        expected = oracle(distribution.edges, matrix[:, place], binner.stride - 1)
        assert bins[:, place].tolist() == expected, list(columns())[place]


@settings(max_examples=150)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40, unique_by=lambda x: x + 0.0),
    st.lists(st.floats(), min_size=1, max_size=40),
)
def test_bins_equal_a_binary_search_for_any_edges_and_values(edges, values):
    edges = sorted(edges)
    distribution = Distribution(
        edges=tuple(edges),
        counts=(1,) * (len(edges) + 1),
        null_count=0,
        infinite_count=0,
        n=len(edges) + 1,
        psi_starts=(0,),
        mean=None,
        std=None,
    )
    column = np.array([*values, *edges])
    binner = Binner([distribution])
    assert binner.bins(column[:, None]).ravel().tolist() == oracle(edges, column, binner.stride - 1)


def test_reference_rows_give_the_reference_counts():
    data = columns()
    distributions = [freeze(column) for column in data.values()]
    counts = BinCounts(Binner(distributions))
    counts.update(np.array(list(data.values())).T)
    for place, distribution in enumerate(distributions):
        assert counts.column(place).tolist() == [*distribution.counts, distribution.null_count]


def test_infinities_fill_the_end_bins_and_are_counted():
    distribution = freeze(np.arange(5_000.0))
    counts = BinCounts(Binner([distribution, distribution]))
    counts.update(np.array([[np.inf, 1.0], [-np.inf, 2.0], [np.inf, -np.inf]]))
    assert (counts.infinite(0), counts.infinite(1)) == (3, 1)
    column = counts.column(0)
    assert (column[0], column[-2], column[-1], column.sum()) == (1, 2, 0, 3)


def test_batches_larger_than_a_chunk_count_every_row():
    distribution = freeze(np.arange(5_000.0))
    counts = BinCounts(Binner([distribution] * 3))
    matrix = np.random.default_rng(8).uniform(0, 5_000, (40_000, 3))
    counts.update(matrix)
    for place in range(3):
        bins = np.searchsorted(distribution.edges, matrix[:, place], side="right")
        assert counts.column(place)[:-1].tolist() == np.bincount(bins, minlength=64).tolist()


def test_an_empty_batch_or_a_matrix_without_columns_changes_nothing():
    counts = BinCounts(Binner([freeze(np.arange(9.0))]))
    counts.update(np.empty((0, 1)))
    assert counts.empty
    none = BinCounts(Binner([]))
    none.update(np.empty((5, 0)))
    assert none.empty
    assert none.to_bytes() == b""

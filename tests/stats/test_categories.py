"""Categories: the commonest have bins, rare ones share one, and what is new has its own."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ArtifactError
from monitor.stats.binning import BinCounts, Binner
from monitor.stats.drift import DriftReader
from monitor.stats.estimate import Status
from monitor.stats.reference import MAX_TAIL, Distribution, Reference, build_reference, freeze

codes = st.integers(0, 2**53 - 1)
HOUR = [(0, 3_600 * 10**9)]


def counted(distribution, column):
    counts = BinCounts(Binner([distribution]))
    counts.update(np.asarray(column, np.float64)[:, None])
    return counts.columns()


@given(st.lists(st.one_of(codes, st.integers(0, 99), st.just(float("nan"))), max_size=200))
def test_every_value_of_the_reference_finds_its_bin_again(values):
    column = np.array(values, np.float64)
    frozen = freeze(column, 16, categorical=True)
    assert counted(frozen, column)[0].tolist() == [*frozen.counts, frozen.null_count]
    assert frozen.counts[-1] == 0
    assert len(frozen.categories) <= 14
    assert len(frozen.psi_starts) <= 15
    assert list(frozen.counts[:-2]) == sorted(frozen.counts[:-2], reverse=True)
    assert msgspec.json.decode(msgspec.json.encode(frozen), type=Distribution) == frozen


@given(st.lists(codes, max_size=80), st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40))
def test_what_the_reference_never_saw_is_unseen_whatever_it_is(known, live):
    frozen = freeze(np.array(known, np.float64), 8, categorical=True)
    bins = frozen.bins(np.array(live, np.float64))
    for value, place in zip(live, bins.tolist(), strict=True):
        if math.isnan(value):
            assert place == len(frozen.counts)
        elif value not in known:
            assert place == frozen.unseen_bin
        else:
            assert place < frozen.unseen_bin


def test_categories_and_numbers_are_binned_side_by_side():
    rng = np.random.default_rng(1)
    venue, size = rng.integers(0, 100, 5_000).astype(float), rng.lognormal(0, 3, 5_000)
    distributions = [freeze(venue, categorical=True), freeze(size), freeze(venue, 16, categorical=True)]
    matrix = np.column_stack((venue + (rng.random(5_000) < 0.1), size, venue))
    matrix[::7] = np.nan
    binner = Binner(distributions)
    bins = binner.bins(matrix)
    for column, distribution in enumerate(distributions):
        expected = distribution.bins(matrix[:, column])
        expected[::7] = binner.stride - 1
        assert bins[:, column].tolist() == expected.tolist()
    assert binner == Binner(distributions)
    assert binner != Binner([*distributions[:2], freeze(venue + 1, 16, categorical=True)])


def test_a_category_that_comes_up_is_drift_and_one_swapped_for_another_too():
    rng = np.random.default_rng(2)
    reference = rng.choice([11.0, 22.0, 33.0], 50_000, p=[0.6, 0.3, 0.1])
    frozen = freeze(reference, categorical=True)
    reader = DriftReader([frozen])
    same = rng.choice([11.0, 22.0, 33.0], 2_000, p=[0.6, 0.3, 0.1])
    new = np.where(rng.random(2_000) < 0.2, 44.0, same)
    swapped = np.select([same == 11.0, same == 22.0], [22.0, 11.0], same)
    quiet, loud, turned = (reader.read(counted(frozen, live), HOUR)[0] for live in (same, new, swapped))
    assert quiet.psi_excess < 0.01
    assert loud.psi_excess > 0.5
    assert turned.psi_excess > 0.1
    said = loud.estimates(0, 1)
    assert said["ks"].status is said["ks_p_value"].status is Status.NOT_APPLICABLE
    assert said["psi"].status is Status.OK


@pytest.mark.parametrize("value", [-1.0, 0.5, 2.0**53, np.inf])
def test_what_is_no_code_refuses_the_reference(value):
    with pytest.raises(ArtifactError, match=r"feature venue.*2\^53"):
        build_reference({"venue": np.array([1.0, value])}, categorical=["venue"])


def test_more_categories_than_can_be_known_refuse_the_reference():
    most = np.arange(62.0 + MAX_TAIL)
    assert len(freeze(most, categorical=True).tail) == MAX_TAIL
    with pytest.raises(ArtifactError, match="feature id: 4159 categories, 4158 are the most"):
        build_reference({"id": np.append(most, 1e9)}, categorical=["id"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [7, 7]}, "differ"),
        ({"categories": [2**53, 1]}, "2\\^53"),
        ({"tail": [3, 2]}, "rise"),
        ({"edges": [1.0]}, "no edges"),
        ({"counts": [2, 1, 0]}, "two places more"),
        ({"kind": "numeric"}, "no categories"),
    ],
)
def test_inconsistent_categories_are_refused(change, message):
    content = msgspec.to_builtins(build_reference({"a": np.array([1.0, 1.0, 5.0])}, categorical=["a"]))
    content["features"]["a"].update(change)
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(content, Reference)

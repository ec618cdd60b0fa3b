"""References are canonical and hashed; their bins follow the data, however ugly."""

import hashlib
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ArtifactError
from monitor.stats.reference import MAX_BINS, build_reference, freeze, load_reference

anything = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), max_size=150)


@given(anything, st.sampled_from([2, 16, 64]))
def test_bins_of_any_column_hold_every_value_once(values, bins):
    column = np.array(values, np.float64)
    frozen = freeze(column, bins)
    numbers = column[~np.isnan(column)]
    places = np.searchsorted(frozen.edges, numbers, side="right")
    assert np.bincount(places, minlength=len(frozen.edges) + 1).tolist() == list(frozen.counts)
    assert len(frozen.counts) <= bins
    assert all(math.isfinite(e) for e in frozen.edges)
    assert list(frozen.edges) == sorted(set(frozen.edges))
    assert frozen.null_count == len(values) - numbers.size
    assert frozen.infinite_count == np.isinf(numbers).sum()
    assert frozen.n == len(values)
    assert len(frozen.psi_starts) <= 15
    assert frozen.mean is None or (math.isfinite(frozen.mean) and math.isfinite(frozen.std))


def test_continuous_values_fill_64_equal_bins():
    frozen = freeze(np.random.default_rng(1).standard_normal(64_000))
    assert frozen.counts == (1_000,) * 64
    assert len(frozen.psi_starts) == 15


def test_few_distinct_values_have_a_bin_each_and_rounding_noise_stays_in_it():
    values = [0.1, 0.2, 0.3, 5.0]
    frozen = freeze(np.repeat(values, [7, 1, 90, 2]))
    assert frozen.counts == (7, 1, 90, 2)
    noisy = np.nextafter(values, -np.inf), np.nextafter(values, np.inf)
    for column in noisy:
        assert np.searchsorted(frozen.edges, column, side="right").tolist() == [0, 1, 2, 3]


def test_a_value_that_is_most_of_the_data_stays_one_bin_and_one_psi_group():
    column = np.concatenate((np.zeros(70_000), np.random.default_rng(2).uniform(-1, 1, 30_000)))
    frozen = freeze(column)
    assert len(frozen.counts) < MAX_BINS
    heaviest = int(np.argmax(frozen.counts))
    assert frozen.counts[heaviest] == 70_000
    assert {heaviest, heaviest + 1} <= set(frozen.psi_starts)


def test_a_smallest_value_that_is_most_of_the_data_is_the_first_bin():
    column = np.concatenate((np.zeros(6_000), np.random.default_rng(2).uniform(1, 2, 4_000)))
    frozen = freeze(column)
    assert 0 < frozen.edges[0] < 1
    assert frozen.counts[0] == 6_000
    assert min(frozen.counts) > 0


@pytest.mark.parametrize("constant", [0.0, 2.5, -1e-300, 1e300])
def test_a_constant_is_seen_to_change_but_not_by_rounding(constant):
    frozen = freeze(np.full(1_000, constant))
    assert frozen.counts == (0, 1_000, 0)
    noisy = [constant, np.nextafter(constant, -np.inf), np.nextafter(constant, np.inf)]
    assert frozen.bins(np.array(noisy)).tolist() == [1, 1, 1]
    moved = [constant - abs(constant) - 1, -np.inf, constant + abs(constant) / 2 + 1, np.inf]
    assert frozen.bins(np.array(moved)).tolist() == [0, 0, 2, 2]


def test_a_constant_at_the_end_of_the_floats_has_one_bin():
    assert freeze(np.full(10, np.finfo(float).max)).counts == (10,)


def test_neighbouring_floats_are_told_apart():
    values = [1.0]
    for _ in range(5):
        values.append(float(np.nextafter(values[-1], 2.0)))
    assert freeze(np.array(values)).counts == (1,) * 6


def test_one_outlier_leaves_the_other_edges_where_they_were():
    column = np.random.default_rng(3).standard_normal(10_000)
    wild = column.copy()
    wild[np.argmax(wild)] = 1e6
    assert freeze(wild).edges == freeze(column).edges


@pytest.mark.parametrize("column", [[], [np.nan] * 5])
def test_a_column_without_numbers_has_one_empty_bin_and_no_scale(column):
    frozen = freeze(np.array(column))
    assert (frozen.edges, frozen.counts, frozen.null_count) == ((), (0,), len(column))
    assert frozen.mean is None
    assert frozen.std is None


def test_scale_is_that_of_the_finite_values_and_never_overflows():
    column = np.array([1.0, 2.0, 4.0, np.nan, np.inf])
    frozen = freeze(column)
    assert frozen.mean == pytest.approx(np.mean([1, 2, 4]), rel=1e-15)
    assert frozen.std == pytest.approx(np.std([1, 2, 4]), rel=1e-15)
    huge = freeze(np.array([-1.7e308, 1.7e308]))
    assert (huge.mean, huge.std) == (0.0, 1.7e308)
    assert len(huge.edges) == 1
    assert freeze(np.full(10, 0.1)).std == 0.0


def test_a_reference_comes_back_from_its_file_with_its_hash(tmp_path):
    rng = np.random.default_rng(5)
    reference = build_reference({"b": rng.random(100), "a": np.full(3, np.nan)}, {"ff": rng.random(9)})
    path = tmp_path / "reference.json"
    path.write_bytes(reference.to_bytes())
    assert load_reference(path) == reference
    assert hashlib.sha256(path.read_bytes()).hexdigest() == reference.sha256
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))
    assert load_reference(path).sha256 == reference.sha256


def test_order_of_rows_and_of_columns_leaves_no_trace():
    rng = np.random.default_rng(6)
    column = rng.standard_normal(1_000)
    one = build_reference({"a": column, "b": column})
    two = build_reference({"b": column[::-1], "a": rng.permutation(column)})
    assert one.sha256 == two.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": [1.0, 1.0]}, "strictly increasing"),
        ({"counts": [1]}, "one place more"),
        ({"counts": [2, -1, 2]}, "negative"),
        ({"n": 4}, "sum"),
        ({"psi_starts": [0, 3]}, "psi_starts"),
        ({"psi_starts": []}, "psi_starts"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_inconsistent_reference_is_refused_with_file_and_remedy(tmp_path, change, message):
    content = json.loads(build_reference({"a": np.array([1.0, 2.0, 3.0])}).to_bytes())
    content["features"]["a"].update(change)
    path = tmp_path / "reference.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=rf"reference\.json.*{message}.*baseline"):
        load_reference(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 1, "features": {}}', '{"version": 3, "features": {}, "panes": []}', "\xff"],
)
def test_another_version_or_no_json_is_refused(tmp_path, text):
    path = tmp_path / "reference.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"reference\.json"):
        load_reference(path)
    with pytest.raises(ArtifactError, match="absent"):
        load_reference(tmp_path / "absent")

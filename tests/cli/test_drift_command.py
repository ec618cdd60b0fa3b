"""`drift` finds what moved and only that, says how far, and answers with an exit code."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from command_cases import call

from monitor.cli.baseline import baseline
from monitor.cli.drift import drift
from monitor.stats.reference import build_reference
from monitor.wire.keys import feature_schema_crc32

SCHEMA = [
    ["calm", "float64"],
    ["shifted", "float64"],
    ["holes", "float32"],
    ["same", "int64"],
    ["venue", "string"],
]
START = 1_767_225_600 * 10**9
DAY = 86_400 * 10**9


def columns(day, days, seed, *, shift=0.0, holes=0.02, new=0.0, rows_a_day=2880, stuck=False):
    n = rows_a_day * days
    rng = np.random.default_rng(seed)
    absent = rng.random(n) < holes
    venues = np.where(rng.random(n) < new, "NEWX", rng.choice(["XNAS", "XNYS"], n))
    calm = rng.normal(size=n)
    return {
        "ts_ns": START + day * DAY + np.arange(n) * (DAY // rows_a_day),
        "symbol": np.array(["AAA"] * n),
        "calm": np.full(n, calm[0]) if stuck else calm,
        "shifted": rng.normal(size=n) + shift,
        "holes": np.where(absent, np.nan, rng.normal(size=n)),
        "same": np.full(n, 7),
        "venue": venues,
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("drift")
    (directory / "schema.json").write_text(json.dumps(SCHEMA))
    np.savez(directory / "reference.npz", **columns(0, 7, 1))
    np.savez(directory / "clean.npz", **columns(8, 1, 2))
    np.savez(directory / "moved.npz", **columns(8, 1, 3, shift=0.5, holes=0.95, new=0.1))
    made = call(
        baseline, "--features", directory / "reference.npz", "--schema", directory / "schema.json",
        "--out", directory / "reference.json", "--sample", "calm",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    return directory


def held(place, data, *options):
    return call(drift, "--reference", place / "reference.json", "--data", place / data, *options)


def verdicts(result):
    """Verdict by feature, as the table says it."""
    lines = [line.split() for line in result.output.splitlines()]
    names = {name for name, _ in SCHEMA}
    return {words[0]: " ".join(words[1:]) for words in lines if words and words[0] in names}


def test_clean_data_is_clean(place):
    result = held(place, "clean.npz")
    assert result.exit_code == 0, result.output
    assert "0 of 5 features drifted" in result.output
    assert all("drift" not in line for line in verdicts(result).values())


def test_shift_nulls_and_new_categories_are_found_and_nothing_else(place):
    result = held(place, "moved.npz")
    assert result.exit_code == 1, result.output
    found = {name for name, line in verdicts(result).items() if line.endswith("drift")}
    assert found == {"shifted", "holes", "venue"}
    assert "+0.5" in verdicts(result)["shifted"]
    assert "95." in verdicts(result)["holes"]


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("psi>0.2", 1),
        ("psi > 0.2", 1),
        ("psi>20", 0),
        ("unseen_rate>0.05", 1),
        ("unseen_rate>0.2", 0),
        ("null_rate>0.9", 1),
        ("mean_shift_sigma>0.4", 1),
        ("ks_p_value<1e-6", 1),
        ("frozen_rate<2", 1),
        ("ks>0.9", 0),
    ],
)
def test_a_condition_decides_where_one_is_given(place, condition, code):
    assert held(place, "moved.npz", "--fail-on", condition).exit_code == code


def test_several_conditions_are_one_or_the_other(place):
    result = held(place, "moved.npz", "--fail-on", "psi>20", "--fail-on", "unseen_rate>0.05")
    assert result.exit_code == 1
    assert "unseen_rate > 0.05" in verdicts(result)["venue"]


def test_a_feature_that_stands_still_shows_in_its_frozen_rate(place):
    np.savez(place / "stuck.npz", **columns(8, 1, 5, stuck=True))
    result = held(place, "stuck.npz", "--fail-on", "feature_age>600")
    assert "feature_age > 600" in verdicts(result)["calm"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fail-on", "psi"], "'psi' is no condition"),
        (["--fail-on", "sharpe>1"], "is no condition"),
        (["--fail-on", "psi>1e"], "is no condition"),
        (["--fail-on", "psi>inf"], "with a finite number"),
        (["--fail-on", "psi<nan"], "with a finite number"),
        (["--fail-on", "psi<1e999"], "with a finite number"),
        (["--fail-on", "mean_shift_sigma<-0.5"], "write mean_shift_sigma>0.5"),
        (["--material", "inf"], "--material"),
        (["--material", "nan"], "--material"),
        (["--fail-on", "psi>1", "--alpha", "0.1"], "--alpha"),
        (["--alpha", "2"], "no chance"),
        (["--correction", "hope"], "hope"),
        (["--plot", "/nowhere/at/all.svg"], "--plot: cannot be written"),
    ],
)
def test_bad_usage_is_refused_with_a_remedy(place, options, words):
    result = held(place, "clean.npz", *options)
    assert result.exit_code == 2
    assert words in result.output


def test_data_without_a_feature_of_the_reference_is_refused(place):
    np.savez(place / "other.npz", calm=np.zeros(10))
    result = held(place, "other.npz")
    assert result.exit_code == 2
    assert "no column" in result.output


def first_rows(place, name, count, **known):
    few = {key: column[:count] for key, column in columns(8, 1, 2).items()} | known
    np.savez(place / name, **few)
    return name


def test_too_little_data_is_never_a_pass_and_says_how_many_rows_are_wanted(place):
    result = held(place, first_rows(place, "few.npz", 100))
    assert result.exit_code == 2
    assert "insufficient: 100 of 150 rows" in verdicts(result)["calm"]
    assert "insufficient" not in verdicts(result)["venue"]
    assert "not judged for want of data: calm (100 of 150 rows)" in result.output
    result = held(place, first_rows(place, "fewer.npz", 3))
    assert result.exit_code == 2
    assert all("insufficient" in line for line in verdicts(result).values())


def test_drift_of_one_feature_outweighs_another_that_cannot_be_judged(place):
    new = np.array(["NEWX"] * 100)
    result = held(place, first_rows(place, "few-new.npz", 100, venue=new))
    assert result.exit_code == 1
    assert "not judged for want of data: calm" in result.output


def test_a_condition_without_data_leaves_a_feature_unjudged_though_others_hold(place):
    name = first_rows(place, "few.npz", 100)
    assert held(place, name, "--fail-on", "null_rate>0.5").exit_code == 0
    result = held(place, name, "--fail-on", "null_rate>0.5", "--fail-on", "psi>20")
    assert result.exit_code == 2
    assert "insufficient: psi 100 of 150 rows" in verdicts(result)["calm"]
    met = held(place, name, "--fail-on", "null_rate<0.5", "--fail-on", "psi>20")
    assert met.exit_code == 1
    few = first_rows(place, "fewer.npz", 8)
    result = held(place, few, "--fail-on", "mean_shift_sigma>9", "--fail-on", "null_rate>2")
    assert "insufficient: mean_shift_sigma 8 of 10 values" in verdicts(result)["calm"]
    assert verdicts(result)["venue"].endswith("clean")


def test_a_condition_wants_the_columns_it_is_made_of(place):
    known = dict(np.load(place / "clean.npz"))
    del known["symbol"]
    np.savez(place / "no-symbol.npz", **known)
    result = held(place, "no-symbol.npz", "--fail-on", "frozen_rate>2", "--fail-on", "psi>20")
    assert result.exit_code == 2
    assert "frozen_rate the data has no `symbol`" in result.output
    del known["ts_ns"]
    np.savez(place / "bare.npz", **known)
    result = held(place, "bare.npz", "--fail-on", "psi_p_value<1e-9")
    assert result.exit_code == 2
    assert "psi_p_value uncalibrated: the data has no times" in result.output


def test_a_condition_that_does_not_apply_is_no_want_of_data(place):
    result = held(place, "clean.npz", "--fail-on", "unseen_rate>0.5")
    assert result.exit_code == 0
    assert verdicts(result)["calm"].endswith("not applicable")
    assert "0 could not be judged, no condition applies to 4;" in result.output
    both = held(place, "clean.npz", "--fail-on", "unseen_rate>0.5", "--fail-on", "psi>20")
    assert both.exit_code == 0
    assert "0 of 5 features drifted" in both.output


def test_data_without_times_is_judged_by_size_alone(place):
    for name, code in (("clean", 0), ("moved", 1)):
        known = dict(np.load(place / f"{name}.npz"))
        del known["ts_ns"], known["symbol"]
        np.savez(place / f"bare-{name}.npz", **known)
        result = held(place, f"bare-{name}.npz")
        assert result.exit_code == code, result.output
        assert "the data has no times" in result.output


def test_messages_with_arrays_need_a_schema(place):
    data = columns(8, 1, 2, rows_a_day=600)
    names = [name for name, _ in SCHEMA]
    lines = []
    for i in range(600):
        cells = {name: data[name][i].item() for name in names}
        cells["holes"] = None if np.isnan(cells["holes"]) else cells["holes"]
        event = {"event_id": f"e{i}", "ts_ns": int(data["ts_ns"][i]), "symbol": "AAA", "features": cells}
        lines.append(json.dumps(event))
    (place / "clean.jsonl").write_text("\n".join(lines))
    assert held(place, "clean.jsonl").exit_code == 0
    wrong = place / "wrong.json"
    wrong.write_text(json.dumps([[name, "float64"] for name in names]))
    result = held(place, "clean.jsonl", "--schema", wrong)
    assert result.exit_code == 2
    assert "takes otherwise venue" in result.output


def test_the_plot_shows_every_feature_with_what_moved_first(place):
    out = place / "drift.svg"
    assert held(place, "moved.npz", "--plot", out).exit_code == 1
    root = ElementTree.fromstring(out.read_text())
    space = {"svg": "http://www.w3.org/2000/svg"}
    names = [text.text for text in root.findall(".//svg:text[@class='name']", space)]
    assert set(names) == {name for name, _ in SCHEMA}
    assert set(names[:3]) == {"shifted", "holes", "venue"}
    panels = dict(zip(names, root.findall("svg:g", space), strict=True))
    for name, panel in panels.items():
        kinds = {rect.get("class") for rect in panel.findall("svg:rect", space)}
        assert kinds == {"reference", "moved" if name in names[:3] else "live"}
        heights = [float(rect.get("height")) for rect in panel.findall("svg:rect", space)]
        assert max(heights) == pytest.approx(82)
        assert min(heights) >= 0


def test_infinite_values_are_shown_where_there_are_any(place):
    assert "infinite" not in held(place, "clean.npz").output
    known = dict(np.load(place / "clean.npz"))
    known["calm"][:72] = np.inf
    np.savez(place / "infinite.npz", **known)
    result = held(place, "infinite.npz")
    assert "infinite" in result.output
    assert "72 (2.50%)" in verdicts(result)["calm"]
    assert "%" not in verdicts(result)["shifted"]


def test_a_reference_with_a_name_that_messages_must_escape_is_refused(place):
    odd = build_reference({'a"b': np.arange(100.0)})
    (place / "odd.json").write_bytes(odd.to_bytes())
    (place / "odd.jsonl").write_text("{}")
    result = call(drift, "--reference", place / "odd.json", "--data", place / "odd.jsonl")
    assert result.exit_code == 2, result.output
    assert "odd.json: feature names with a quotation mark" in result.output


def test_a_shift_of_the_mean_counts_either_way_and_the_help_says_so(place):
    np.savez(place / "down.npz", **columns(8, 1, 3, shift=-0.5))
    result = held(place, "down.npz", "--fail-on", "mean_shift_sigma>0.4")
    assert result.exit_code == 1
    assert "-0.4" in verdicts(result)["shifted"]
    assert "magnitude" in call(drift, "--help").output


def test_what_is_read_is_never_drawn_over(place):
    for name in ("clean.npz", "reference.json"):
        before = (place / name).read_bytes()
        result = held(place, "clean.npz", "--plot", place / name)
        assert result.exit_code == 2
        assert "name another file with --plot" in result.output
        assert (place / name).read_bytes() == before


def test_data_whose_columns_have_no_names_asks_for_the_schema(place):
    pairs = [pair for pair in SCHEMA if pair[1] != "string"]
    data = columns(8, 1, 2)
    matrix = np.column_stack([data[name] for name, _ in pairs])
    np.save(place / "matrix.npy", matrix)
    numbers = build_reference({name: data[name] for name, _ in pairs})
    (place / "numbers.json").write_bytes(numbers.to_bytes())
    (place / "numbers.schema.json").write_text(json.dumps(pairs))
    crc = feature_schema_crc32(pairs)
    rows = [[None if np.isnan(x) else x for x in row] for row in matrix[:600].tolist()]
    events = [
        {"event_id": f"e{i}", "ts_ns": START + i, "symbol": "AAA", "features": row, "schema_crc32": crc}
        for i, row in enumerate(rows)
    ]
    (place / "arrays.jsonl").write_text("\n".join(map(json.dumps, events)))
    for name in ("matrix.npy", "arrays.jsonl"):
        arguments = ["--reference", place / "numbers.json", "--data", place / name]
        result = call(drift, *arguments)
        assert result.exit_code == 2, result.output
        assert "Remedy: name the schema with --schema" in result.output
        result = call(drift, *arguments, "--schema", place / "numbers.schema.json")
        assert result.exit_code == 0, result.output


def test_the_plot_tells_what_is_not_judged_from_what_is_clean(place):
    few, clean = place / "few.svg", place / "clean.svg"
    assert held(place, first_rows(place, "few.npz", 100), "--plot", few).exit_code == 2
    assert held(place, "clean.npz", "--plot", clean).exit_code == 0
    space = {"svg": "http://www.w3.org/2000/svg"}
    said = {}
    for panel in ElementTree.fromstring(few.read_text()).findall("svg:g", space):
        name, subtitle, *_ = [text.text for text in panel.findall("svg:text", space)]
        said[name] = subtitle, {rect.get("class") for rect in panel.findall("svg:rect", space)}
    assert said["calm"][0].startswith("not judged: too few values")
    assert said["calm"][1] == {"reference", "unjudged"}
    assert said["venue"][0].startswith("PSI")
    assert said["venue"][1] == {"reference", "live"}
    assert "data, not judged" in few.read_text()
    assert "not judged" not in clean.read_text()


def test_conditions_that_apply_to_no_feature_are_no_pass(place):
    numbers = build_reference({"calm": columns(0, 7, 1)["calm"]})
    (place / "calm.json").write_bytes(numbers.to_bytes())
    arguments = ["--reference", place / "calm.json", "--data", place / "clean.npz"]
    result = call(drift, *arguments, "--fail-on", "unseen_rate>0.5")
    assert result.exit_code == 2, result.output
    assert "no condition applies to any feature" in result.output

"""`check` names every mistake with file, key and remedy, and says what will run where there is none."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_cases import call

import monitor.demo
from monitor.cli.check import check
from monitor.stats.reference import build_reference

EXAMPLE = Path(__file__).parents[2] / "config" / "example.yaml"
MODELS = Path(monitor.demo.__file__).parent / "models"
ROLES = ("active", "previous", "shadows")


def run(path, **env):
    return call(check, path, **env)


@pytest.fixture
def write(tmp_path):
    """Writes the example with the demo's models, after a change."""

    def write_file(change=lambda data: None):
        data = yaml.safe_load(EXAMPLE.read_text())
        models = {"active": MODELS / "v7", "previous": MODELS / "v6", "shadows": {"shadow": MODELS / "v8"}}
        data["deployments"]["btc"]["models"] = json.loads(json.dumps(models, default=str))
        del data["deployments"]["btc"]["reference"]
        change(data)
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return write_file


def test_a_sound_configuration_is_summed_up(write):
    result = run(write())
    assert result.exit_code == 0
    for part in (
        "demo_v7",
        "demo_v8",
        "us a row",
        "5m, 1h",
        "shadow-agrees",
        "demote of shadow when",
        "fine",
    ):
        assert part in result.stdout


def test_mistakes_of_every_kind_are_listed_and_the_exit_code_is_2(write):
    def change(data):
        data["transport"]["grup"] = "x"
        data["http"]["port"] = "many"
        data["deployments"]["btc"]["policy"]["rules"][0]["metric"] = "rank_corelation"

    result = run(write(change), SHADOW_MONITOR__LOG__LEVEL="loud")
    assert result.exit_code == 2
    for part in (
        ": transport.grup: unknown key",
        "did you mean `group`?",
        "http.port:",
        "write a whole number",
        "unknown metric 'rank_corelation'",
        "did you mean `rank_correlation`?",
        "environment variable SHADOW_MONITOR__LOG__LEVEL: log.level:",
        "4 mistakes",
    ):
        assert part in result.stdout
    assert re.search(r"config\.yaml:\d+: transport\.grup", result.stdout)


def test_files_that_fail_are_named_by_the_key_that_names_them(write, tmp_path):
    def change(data):
        data["decoder"] = "no_such_package:function"
        data["feature_schemas"] = ["missing.json"]
        models = data["deployments"]["btc"]["models"]
        models["active"] = "missing"
        models["shadows"]["shadow"] = "empty"
        data["deployments"]["btc"]["reference"] = "missing.json"

    (tmp_path / "empty").mkdir()
    result = run(write(change))
    assert result.exit_code == 2
    for key in ("decoder", "feature_schemas", "models.active", "models.shadows.shadow", "btc.reference"):
        assert f"{key}: " in result.stdout
    assert "5 mistakes" in result.stdout


def test_rules_on_what_the_reference_lacks_are_refused(write, tmp_path):
    reference = build_reference({"known": np.arange(1000.0)})
    (tmp_path / "reference.json").write_bytes(reference.to_bytes())

    def change(data):
        drift = {"subject": "shadow", "window": "5m", "above": 0.25, "action": "alert"}
        data["deployments"]["btc"]["reference"] = "reference.json"
        data["deployments"]["btc"]["policy"]["rules"] = [
            {"id": "a", "metric": "psi", "labels": {"feature": "known"}, **drift},
            {"id": "b", "metric": "psi", "labels": {"feature": "unknown"}, **drift},
            {"id": "c", "metric": "prediction_psi", "labels": {"role": "shadow"}, **drift},
        ]

    result = run(write(change))
    assert result.exit_code == 2
    assert "rules[1].labels: the reference has no feature 'unknown'" in result.stdout
    assert "rules[2].labels: the reference holds no predictions" in result.stdout
    assert "2 mistakes" in result.stdout


def test_what_files_refuse_is_listed_with_mistakes_that_it_does_not_hang_on(write, tmp_path):
    (tmp_path / "schema.json").write_text("{")
    (tmp_path / "reference.json").write_bytes(build_reference({"known": np.arange(1000.0)}).to_bytes())
    rule = {"subject": "shadow", "window": "5m", "above": 0.25, "action": "alert"}

    def change(data):
        data["http"]["port"] = "many"
        data["decoder"] = "no_such_package:function"
        data["feature_schemas"] = ["schema.json"]
        deployment = data["deployments"]["btc"]
        deployment["models"]["previous"] = "missing"
        deployment["reference"] = "reference.json"
        deployment["samples"] = {"ks_features": ["unknown"]}
        deployment["labels"] = {"wait": "10ms"}
        deployment["windows"] = ["5 minutes"]
        deployment["policy"]["rules"] = [
            {"id": "a", "metric": "psi", "labels": {"feature": "unknown"}, **rule, "above": "much"},
            {"id": "b", "metric": "psi", "labels": {"feature": "unknown"}, **rule},
            {"id": "c", "metric": "rmse", **rule},
            {"id": "d", "metric": "nonsense", **rule},
        ]

    result = run(write(change))
    assert result.exit_code == 2
    for part in (
        "http.port: ",
        "btc.windows[0]: ",
        "rules[0].above: ",
        "rules[3].metric: unknown metric",
        "decoder: ",
        "feature_schemas: cannot be read",
        "models.previous: ",
        "samples.ks_features: the reference has no feature 'unknown'",
        "rules[1].labels: the reference has no feature 'unknown'",
        "labels.wait: predictions wait 10ms",
        "rules[2].metric: rmse is made of outcomes",
        "11 mistakes",
    ):
        assert part in result.stdout, part


@pytest.mark.parametrize("mistaken", [{"active": 5}, {"active": None}, {"shadows": {"two words": "x"}}])
def test_one_mistaken_model_hides_no_other(write, mistaken):
    def change(data):
        models = data["deployments"]["btc"]["models"]
        models["previous"] = "missing"
        models.update(mistaken)
        if "shadows" not in mistaken:
            models["shadows"]["other"] = "absent"

    result = run(write(change))
    assert "models.previous: " in result.stdout
    assert ("models.shadows.other: " in result.stdout) == ("shadows" not in mistaken)


@pytest.mark.parametrize(
    ("section", "sound", "mistaken", "what"),
    [
        ("topics", {"outcomes": None}, {"outcomes": "no topic"}, "rmse is made of outcomes"),
        ("btc.sequences", {"loss": {}}, {"loss": {"bound": "wide"}}, "is tested within a bound"),
        (
            "btc.samples",
            {"ks_features": ["gone"]},
            {"ks_features": ["gone"], "rank_k": "x"},
            "feature 'gone'",
        ),
        ("btc.labels", {"wait": "10ms"}, {"wait": "10ms", "limit": 0}, "predictions wait 10ms"),
    ],
)
def test_nothing_is_concluded_from_a_section_that_is_itself_mistaken(
    write, tmp_path, section, sound, mistaken, what
):
    (tmp_path / "reference.json").write_bytes(build_reference({"known": np.arange(1000.0)}).to_bytes())

    def says(value):
        def change(data):
            deployment = data["deployments"]["btc"]
            deployment["reference"] = "reference.json"
            deployment["policy"]["rules"] = [
                {"id": "a", "metric": "rmse", "window": "5m", "above": 1},
                {"id": "b", "metric": "loss_e_value", "above": 100},
            ]
            for rule in deployment["policy"]["rules"]:
                rule |= {"subject": "shadow", "action": "alert"}
            within = deployment if section.startswith("btc.") else data
            within[section.removeprefix("btc.")] = value

        result = run(write(change))
        assert result.exit_code == 2
        return what in result.stdout

    assert says(sound)
    assert not says(mistaken)


def test_the_environment_names_files_too(write):
    def change(data):
        data["http"]["port"] = "many"
        data["deployments"]["btc"]["reference"] = "missing.json"

    name = "SHADOW_MONITOR__DEPLOYMENTS__BTC__REFERENCE"
    assert "2 mistakes" in run(write(change)).stdout
    assert "other.json" in run(write(change), **{name: "other.json"}).stdout


def test_what_hangs_on_several_sections_is_named_with_its_line_and_hidden_by_no_other_mistake(write):
    rejects = {"id": "r", "metric": "rejects", "labels": {"reason": "margin"}, "above": 5}
    limit = {"id": "f", "metric": "fill_rate_mismatch", "labels": {"order_type": "limit"}, "above": 0.02}

    def change(data, port=None):
        data["deployments"]["btc"]["policy"]["rules"] = [
            {"subject": "active", "window": "5m", "action": "alert", **one} for one in (rejects, limit)
        ]
        if port is not None:
            data["http"]["port"] = port

    alone = run(write(lambda data: data["deployments"]["btc"]["policy"]["rules"].pop()), COLUMNS="300")
    assert alone.exit_code == 0
    both = run(write(lambda data: change(data, "many")), COLUMNS="300")
    assert "http.port: " in both.stdout
    assert "rules[1].labels.order_type: orders on paper are of type 'market'" in both.stdout
    path = write(lambda data: (change(data), data["deployments"]["btc"]["policy"]["rules"].pop()))
    (line,) = [i for i, text in enumerate(path.read_text().splitlines(), 1) if "reason: margin" in text]
    assert (
        f"config.yaml:{line}: deployments.btc.policy.rules[0].labels.reason: "
        in run(path, COLUMNS="300").stdout
    )

"""A configuration loads as typed values, or not at all and then with every mistake at once."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from configurations import EXAMPLE, REMOVED, changed, example, only_problem, problems

from monitor.errors import ConfigError
from monitor.settings.loading import from_mapping, load

FIVE_MISTAKES = """\
version: 1
transport: {kind: kafak}
event_time:
  allowed_latness: 200ms
instruments:
  BTCUSD: {tick_size: "0.0.1", currency: USD}
deployments:
  btc:
    models: {active: a, shadows: {shadow: b}}
    windows: [5m, 1]
    policy:
      name: demo
      rules:
        - id: agrees
          subject: shadwo
          metric: rank_correlation
          window: 5m
          below: 0.5
          action: demote
"""


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="config.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


def load_problems(path, env=None):
    with pytest.raises(ConfigError) as caught:
        load(path, env)
    return caught.value.problems


def test_the_example_loads_from_any_directory_with_its_files_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load(Path(os.path.relpath(EXAMPLE, tmp_path)))
    deployment = settings.deployments["btc"]
    assert deployment.models.active == EXAMPLE.parent / "artifacts" / "v7"
    assert deployment.reference == EXAMPLE.parent / "references" / "btc.json"
    assert deployment.roles == ("active", "shadow")
    assert deployment.windows_ns == (300 * 10**9, 3600 * 10**9)
    assert deployment.paper.quantity == Decimal("0.1")
    assert settings.event_time.allowed_lateness_ns == 200_000_000
    assert settings.topics.by_stream()["dead-letters"] == "sm-dead-letters"
    assert "predictions" not in settings.topics.by_stream()


def test_what_the_example_leaves_to_defaults_equals_what_it_writes():
    """Values the comments call defaults are the defaults."""
    data = example()
    for key in ("transport", "topics", "event_time", "fx", "feature_schemas", "decoder", "commands", "log"):
        del data[key]
    del data["dead_letters"], data["http"]
    for key in ("windows", "samples", "grids"):
        del data["deployments"]["btc"][key]
    bare, whole = from_mapping(data, Path("/x")), from_mapping(example(), Path("/x"))
    same = {"transport": {"group": whole.transport.group, "client": whole.transport.client}}
    assert bare.model_copy(update={"transport": bare.transport.model_copy(update=same["transport"])}) == whole


def test_five_different_mistakes_are_reported_at_once_with_line_key_and_remedy(write):
    path = write(FIVE_MISTAKES)
    found = {p.key: p for p in load_problems(path)}
    assert {key: int(p.file.rpartition(":")[2]) for key, p in found.items()} == {
        "transport.kind": 2,
        "event_time.allowed_latness": 4,
        "instruments.BTCUSD.tick_size": 6,
        "deployments.btc.windows[1]": 10,
        "deployments.btc.policy.rules[0].subject": 15,
    }
    assert all(p.file.startswith(f"{path}:") and p.remedy for p in found.values())
    assert found["event_time.allowed_latness"].remedy == "did you mean `allowed_lateness`?"
    assert found["deployments.btc.policy.rules[0].subject"].remedy == "did you mean `shadow`?"


@pytest.mark.parametrize(
    ("key", "suggested"),
    [
        ("transprot", "transport"),
        ("transport.grup", "group"),
        ("deployments.btc.tennant", "tenant"),
        ("deployments.btc.models.shadow", "shadows"),
        ("deployments.btc.policy.rulez", "rules"),
        ("deployments.btc.policy.rules.0.sevrity", "severity"),
        ("deployments.btc.policy.rules.0.For", "for"),
        ("deployments.btc.grids.tik", "tick"),
        ("instruments.BTCUSD.tick", "tick_size"),
        ("http.prt", "port"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(key, suggested):
    found = only_problem({key: 1})
    assert found.message == "unknown key."
    assert found.key.replace("[0]", ".0") == key
    assert found.remedy == f"did you mean `{suggested}`?"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("deployments.btc.policy.rules.0.action", "abort"),
        ("deployments.btc.policy.rules.0.action", "promote"),
        ("deployments.btc.policy.rules.0.action", "retrain"),
        ("deployments.btc.policy.rules.0.window", "session"),
    ],
)
def test_what_a_later_version_will_serve_is_refused_as_not_yet(key, value):
    found = only_problem({key: value})
    assert found.message.startswith("not yet: ")
    assert found.key.startswith(key.replace(".0.", "[0]."))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("topics.outcomes", "outcomes"),
        ("fx", {"BTCUSD": "BTCUSD"}),
        ("topics.predictions", "predictions"),
        ("commands.trust_topic", True),
        ("deployments.btc.models.shadows", {"shadow": "a", "second": "b"}),
        ("instruments", "open"),
        ("deployments.btc.capital.amount", 1000000),
        ("transport.start", "2026-03-01T09:30:00Z"),
        ("deployments.btc.models.promoted_at", "2026-03-01T09:30:00+01:00"),
        ("deployments.btc.policy.rules.0.for", "30s"),
        ("deployments.btc.policy.rules.0.schedule", "60s"),
        ("deployments.btc.policy", REMOVED),
    ],
)
def test_what_is_served_now_is_taken(key, value):
    assert problems({key: value}) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2),
        ("version", True),
        ("deployments", {}),
        ("deployments.btc.models", {"active": "a"}),
        ("deployments.btc.models.active", REMOVED),
        ("deployments.btc.models.shadows", {}),
        ("deployments.btc.models.shadows", {"shadow": "a", "deployment": "b"}),
        ("deployments.btc.capital.amount", 0.1),
        ("deployments.btc.capital.amount", "NaN"),
        ("deployments.btc.capital.amount", "0"),
        ("deployments.btc.paper.quantity", "0.000000001"),
        ("deployments.btc.paper.quantity", "100000000"),
        ("deployments.btc.windows", ["5m", "300s"]),
        ("deployments.btc.windows", ["90.5s", "5m", "1h"]),
        ("deployments.btc.windows", ["301s", "5m", "1h"]),
        ("deployments.btc.grids.evaluation_interval", "250ms"),
        ("deployments.btc.grids.evaluation_interval", "2s"),
        ("deployments.btc.grids.task_deadline", "2s"),
        ("event_time.idle_grace", "3s"),
        ("event_time.buffer_limit", 0),
        ("dead_letters.max_share", 1.5),
        ("instruments.BTCUSD.tick_size", "0"),
        ("instruments.BTCUSD.tick_size", "0.000000000000000001"),
        ("instruments", ["BTCUSD"]),
        ("instruments", "missing.yaml"),
        ("deployments.btc.policy", "missing.yaml"),
        ("feature_schemas", "one.json"),
        ("decoder", "package.function"),
        ("topics.orders", "features"),
        ("topics.prefix", "a b"),
        ("transport.start", "yesterday"),
        ("transport.client", None),
        ("http.port", 70000),
        ("http.port", True),
        ("deployments.btc.policy.rules.0.below", True),
        ("log", None),
    ],
)
def test_a_value_that_cannot_be_used_is_one_problem_with_a_remedy(key, value):
    found = only_problem({key: value})
    assert found.remedy
    assert found.message.endswith(".")


def test_a_tick_without_quotes_is_read_as_it_is_written(write):
    text = yaml.safe_dump(changed({"instruments": {}})).replace(
        "instruments: {}", "instruments: {A: {tick_size: 0.10, lot_size: 1e-8, multiplier: 5}}"
    )
    (instrument,) = load(write(text)).instruments.listed.values()
    assert (str(instrument.tick_size), instrument.lot_size) == ("0.10", Decimal("1e-8"))


def test_words_that_yaml_takes_for_something_else_stay_words(write):
    text = yaml.safe_dump(changed({"instruments": {}})).replace(
        "instruments: {}", "instruments: {NO: {}, 600519: {}, 007: {}, 1:30: {}}"
    )
    assert set(load(write(text)).instruments.listed) == {"NO", "600519", "007", "1:30"}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: [1\nb: 2", 2, "is not YAML"),
        ("version: 1\nversion: 1\n", 2, "written twice"),
        ("log: !!python/name:os.system ''\n", 1, "unknown tag"),
        ("log: &l\n  level: *l\n", 1, "alias refers to itself"),
        ("? [a]\n: 1\n", 1, "must be plain text"),
        ("- 1\n", 0, "is not a mapping"),
        ("\x00", 0, "is not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_by_line(write, text, line, message):
    path = write(text)
    found = load_problems(path)
    wanted = f"{path}:{line}" if line else str(path)
    assert any(p.file == wanted and message in p.message for p in found), [str(p) for p in found]


def test_an_empty_file_lacks_deployments_and_an_absent_one_cannot_be_read(write, tmp_path):
    assert [p.key for p in load_problems(write(""))] == ["deployments"]
    (absent,) = load_problems(tmp_path / "absent.yaml")
    assert "cannot be read" in absent.message


def test_policy_and_instruments_may_lie_in_files_beside_the_configuration(write):
    data = example()
    write(yaml.safe_dump(data["deployments"]["btc"]["policy"]), "policy.yaml")
    write(yaml.safe_dump(data["instruments"]), "instruments.yaml")
    inline = load(write(yaml.safe_dump(data)))
    data["deployments"]["btc"]["policy"], data["instruments"] = "policy.yaml", "instruments.yaml"
    assert load(write(yaml.safe_dump(data))) == inline


def test_a_mistake_in_a_policy_file_names_that_file_and_its_line(write):
    write(
        "name: p\nrules:\n  - {id: a, subject: active, metric: psi, abov: 1, action: alert}\n", "policy.yaml"
    )
    data = changed({"deployments.btc.policy": "policy.yaml"})
    found = load_problems(write(yaml.safe_dump(data)))
    assert [(p.file, p.key) for p in found] == [("policy.yaml:3", "deployments.btc.policy.rules[0].abov")]


def test_anchors_and_merge_keys_work(write):
    text = (
        EXAMPLE.read_text()
        .replace("http: {", "http: &h {")
        .replace("log: {format: json, level: info}", "log: {}")
    )
    settings = load(
        write(text + "  second:\n    <<: {tenant: merged}\n    models: {active: a, shadows: {s: b}}\n")
    )
    assert settings.deployments["second"].tenant == "merged"


def test_instruments_without_a_currency_have_that_of_the_capital():
    data = changed({"instruments": {"A": {}}, "deployments.btc.capital.currency": "EUR"})
    assert from_mapping(data, Path()).instruments.listed["A"].currency == "EUR"
    settings = from_mapping(changed({"instruments": "open"}), Path())
    assert settings.instruments.get("ANY").currency == "USD"
    assert from_mapping(example(), Path()).instruments.get("ANY") is None


def test_the_tolerance_of_serving_parity_is_not_negative():
    deployment = from_mapping(example(), Path()).deployments["btc"]
    assert (deployment.parity.atol, deployment.parity.rtol) == (1e-5, 1e-5)
    for key in ("atol", "rtol"):
        with pytest.raises(ConfigError, match=f"parity.{key}"):
            from_mapping(changed({f"deployments.btc.parity.{key}": -1e-9}), Path())


def test_secrets_come_from_files_and_are_shown_nowhere(write, tmp_path):
    (tmp_path / "secret").write_text("hunter2\n")
    text = yaml.safe_dump(changed({"transport.client.sasl_plain_password_file": "secret"}))
    settings = load(write(text))
    options = settings.transport.client_options(settings.directory)
    assert options == {"bootstrap_servers": "localhost:9092", "sasl_plain_password": "hunter2"}
    env = {"SHADOW_MONITOR__TRANSPORT__CLIENT__SASL_PLAIN_PASSWORD": "0123"}
    overridden = load(write(text), env)
    assert overridden.transport.client_options(settings.directory)["sasl_plain_password"] == "0123"
    assert "0123" not in repr(overridden)
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match=r"transport\.client\.sasl_plain_password_file"):
        settings.transport.client_options(settings.directory)
    mistaken = changed({"transport.client": "hunter2"})
    with pytest.raises(ConfigError) as caught:
        from_mapping(mistaken, Path())
    assert "hunter2" not in str(caught.value)

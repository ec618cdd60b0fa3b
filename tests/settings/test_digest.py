"""The digest of a configuration changes with what decides, and with nothing else."""

import shutil

import pytest
from configurations import EXAMPLE, changed, settings

from monitor.errors import ConfigError
from monitor.settings.digest import config_sha256, policy_sha256
from monitor.settings.loading import from_mapping, load

PLAIN = config_sha256(settings(), "btc")


@pytest.mark.parametrize(
    "changes",
    [
        {"transport__kind": "memory"},
        {"transport__commit_interval": "250ms"},
        {"transport__group": "other"},
        {"transport__replication_factor": 5},
        {"transport__client": {"bootstrap_servers": "other:9092"}},
        {"topics__prefix": "other-"},
        {"http__port": 1},
        {"log__level": "debug"},
        {"dead_letters__max_run": 5},
        {"deployments__btc__tenant": "other"},
        {"deployments__btc__policy__name": "other"},
        {"deployments__other": {"models": {"active": "a", "shadows": {"s": "b"}}}},
        {"deployments__btc__windows": ["60m", "300s"]},
        {"deployments__btc__paper__quantity": "0.100"},
        {"event_time__idle_grace": "2000ms"},
        {"deployments__btc__models__active": "/x/artifacts/../artifacts/v7"},
    ],
)
def test_what_decides_nothing_leaves_the_digest(changes):
    assert config_sha256(settings(**changes), "btc") == PLAIN


@pytest.mark.parametrize(
    "changes",
    [
        {"deployments__btc__models__active": "artifacts/v9"},
        {"deployments__btc__models__shadow_deadline": "51ms"},
        {"deployments__btc__capital__amount": "999"},
        {"deployments__btc__windows": ["5m", "1h", "1d"]},
        {"deployments__btc__grids__task_deadline": "4s"},
        {"deployments__btc__paper__fee_bps": 3},
        {"deployments__btc__filter": {}},
        {"event_time__allowed_lateness": "201ms"},
        {"event_time__clock": "record"},
        {"instruments__BTCUSD__tick_size": "0.02"},
        {"instruments__ETHUSD": {"currency": "USD"}},
        {"instruments": "open"},
        {"decoder": "package:function"},
        {"commands__trust_topic": True},
    ],
)
def test_what_decides_changes_the_digest(changes):
    assert config_sha256(settings(**changes), "btc") != PLAIN


def test_deployments_of_one_shape_have_digests_of_their_own():
    both = settings(deployments__copy=changed({})["deployments"]["btc"])
    assert config_sha256(both, "btc") == PLAIN != config_sha256(both, "copy")


def test_a_copied_directory_keeps_its_digest(tmp_path):
    shutil.copy(EXAMPLE, tmp_path / "elsewhere.yaml")
    assert (
        config_sha256(load(tmp_path / "elsewhere.yaml"), "btc")
        == config_sha256(load(EXAMPLE), "btc")
        == PLAIN
    )


def test_feature_schemas_count_by_content(tmp_path):
    data = changed({"feature_schemas": ["s.json"]})
    (tmp_path / "s.json").write_text('[["f0","float32"]]')
    first = config_sha256(from_mapping(data, tmp_path), "btc")
    (tmp_path / "s.json").write_text('[ ["f0", "float32"] ]')
    assert config_sha256(from_mapping(data, tmp_path), "btc") == first != PLAIN
    (tmp_path / "s.json").write_text('[["f1","float32"]]')
    assert config_sha256(from_mapping(data, tmp_path), "btc") != first
    (tmp_path / "s.json").unlink()
    with pytest.raises(ConfigError, match="feature_schemas"):
        config_sha256(from_mapping(data, tmp_path), "btc")


def test_the_policy_digest_follows_what_rules_say_not_how_it_is_written():
    def digest(**changes):
        return policy_sha256(settings(**changes).deployments["btc"].policy)

    rule = "deployments__btc__policy__rules__0__"
    plain = digest()
    assert digest(transport__group="other", deployments__btc__capital__amount="1") == plain
    assert digest(**{f"{rule}dry_run": False, f"{rule}window": "300s", f"{rule}below": 0.50}) == plain
    for key, value in (
        ("below", 0.4),
        ("for", 4),
        ("for", "3s"),
        ("labels", {}),
        ("id", "x"),
        ("dry_run", True),
    ):
        assert digest(**{rule + key: value}) != plain
    rules = changed({})["deployments"]["btc"]["policy"]["rules"]
    assert digest(deployments__btc__policy__rules=rules[::-1]) != plain

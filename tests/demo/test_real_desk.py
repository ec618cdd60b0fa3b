"""The real run: trained on the past alone, written whole, accepted by the monitor's own decoders.

What may be expected without luck: everything here is a function of fixed data. How good the models are is no
test; that they know something is one: where orders pile up on one side of a book, the other side yields.
"""

import msgspec
import numpy as np
import pytest

from monitor.demo import real_desk
from monitor.demo.training import fit, onnx_bytes
from monitor.models.artifact import load_artifact
from monitor.models.session import Session
from monitor.settings.loading import load
from monitor.stats.reference import load_reference
from monitor.transport.contract import Record
from monitor.wire.features import FeatureDecoder, FeatureSpace
from monitor.wire.keys import feature_schema_crc32
from monitor.wire.orders import OrderDecoder
from monitor.wire.symbols import SymbolTable


@pytest.fixture(scope="module")
def sample():
    return real_desk.load_sample()


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample):
    directory = tmp_path_factory.mktemp("real")
    return directory, real_desk.make_real(directory, sample)


def records(path):
    return [Record(i, -1, b"BTCUSD", line) for i, line in enumerate(path.read_bytes().splitlines())]


def test_more_than_fifty_thousand_real_rows_are_left_to_run_on(made):
    _, run = made
    assert run.events == 314_057
    assert run.messages["features"] == 51_310
    assert run.messages["orders"] > 500


def test_the_configuration_loads_and_names_files_that_exist(made):
    directory, _ = made
    deployment = load(directory / "config.yaml").deployments[real_desk.DEPLOYMENT]
    reference = load_reference(deployment.reference)
    for role, path in (("active", deployment.models.active), ("shadow", deployment.models.shadows["shadow"])):
        artifact = load_artifact(path)
        assert artifact.sha256 in reference.predictions
        assert set(artifact.features) <= set(reference.features), role


def test_every_message_is_accepted_by_the_monitors_own_decoders(made, sample):
    directory, run = made
    schema = msgspec.json.decode(
        (directory / "features.schema.json").read_bytes(), type=list[tuple[str, str]]
    )
    crc = feature_schema_crc32(schema)
    symbols = SymbolTable(load(directory / "config.yaml").instruments.listed)
    space = FeatureSpace(sample.names, {crc: sample.names})
    features = FeatureDecoder(space, symbols).decode(records(directory / "features.jsonl"))
    orders = OrderDecoder(symbols).decode(records(directory / "orders.jsonl"))
    assert not features["reason"].any()
    assert not orders["reason"].any()
    assert (len(features), len(orders)) == (run.messages["features"], run.messages["orders"])
    # Publication order differs from event order by less than the default lateness.
    behind = np.maximum.accumulate(features["ts"]) - features["ts"]
    assert 0 < behind.max() < 200_000_000
    rows = np.array([int(event_id.rsplit("-", 1)[1]) for event_id in features["event_id"]])
    assert np.array_equal(np.sort(rows), np.arange(sample.split, len(sample.values)))
    assert np.array_equal(features["values"].astype(np.float32), sample.values[rows].astype(np.float32))
    assert np.array_equal(features["ts"], sample.book.ts_ms[rows] * 1_000_000)
    assert (features["bid"] < features["ask"]).all()


def test_training_saw_nothing_of_what_came_after_the_split(sample):
    names = real_desk.ACTIVE_FEATURES
    network, rows = real_desk.train(sample, names, hidden=0)
    later = sample.values.copy()
    later[sample.split :] = 1e6
    outcome = sample.return_bps.copy()
    outcome[sample.book.ts_ms + real_desk.HORIZON_S * 1000 >= sample.book.ts_ms[sample.split]] = -1e6
    blind, same_rows = real_desk.train(sample._replace(values=later, return_bps=outcome), names, hidden=0)
    assert rows == same_rows > 20_000
    assert np.array_equal(network.weights, blind.weights)


def test_both_models_know_something_and_differ(made, sample):
    directory, run = made
    # On 51,000 autocorrelated rows, some 250 independent ones, luck is a correlation of 0.06.
    assert run.correlation["active"] > 0.15
    assert run.correlation["shadow"] > 0.12
    digests = [load_artifact(directory / "models" / role).sha256 for role in ("active", "shadow")]
    assert len(set(digests)) == 2


@pytest.mark.parametrize("hidden", [0, 8])
def test_a_trained_network_answers_alike_in_numpy_and_onnx(hidden):
    rng = np.random.default_rng(5)
    features = rng.standard_normal((500, 6)) * [1, 10, 0.1, 1, 1, 1] + [0, 5, 0, 0, 0, 0]
    target = features[:, 0] + 0.1 * features[:, 1] + 0.1 * rng.standard_normal(500)
    network = fit(features, target, penalty=1e-3, hidden=hidden)
    session = Session(onnx_bytes(network))
    wild = np.vstack([features, 1e3 * features[:5]]).astype(np.float32)
    assert session.run(wild) == pytest.approx(network.predict(wild.astype(float)), abs=2e-5)
    assert np.corrcoef(network.predict(features), target)[0, 1] > 0.8


def test_a_ridge_without_penalty_is_least_squares():
    rng = np.random.default_rng(6)
    features, noise = rng.standard_normal((300, 4)), rng.standard_normal(300)
    target = features @ [1.0, -2.0, 0.5, 0.0] + 3.0 + noise
    design = np.column_stack([np.ones(300), features])
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    clipped = np.abs((features - features.mean(0)) / features.std(0)).max() < 5.0
    assert clipped
    assert fit(features, target, penalty=0.0).predict(features) == pytest.approx(design @ solution)

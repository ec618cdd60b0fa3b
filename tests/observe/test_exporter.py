"""The exporter over a real partition task: complete, bounded, well named, cheap; what ended disappears."""

import asyncio
import statistics
import time

import pytest
from naming import complaints
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from watched_desk import SECONDS, START_NS, Clock, WatchedDesk, group

from monitor.engine.catalogue import BY_NAME
from monitor.observe.metrics import TAKE_EVERY_NS, TASKS_SHOWN, Exporter, take
from monitor.observe.readiness import Readiness
from monitor.observe.series import metric_name
from monitor.policy.commands import Command
from monitor.stats.estimate import Status

MINUTE = 60_000_000_000
NEARLY_ALL_NS = START_NS + (SECONDS - 1) * 1_000_000_000
SYMBOLS = 10_000
BASE = {("deployment", "btc"), ("tenant", "crypto")}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return group(tmp_path_factory.mktemp("desk"))


def ran(made, symbols):
    desk = WatchedDesk(made, Clock())
    desk.stream(events=SYMBOLS, symbols=symbols, junk=3)
    desk.exporter.assigned({0})
    asyncio.run(desk.run(lambda: desk.evaluated_ns > NEARLY_ALL_NS))
    return desk


@pytest.fixture(scope="module")
def desk(made):
    """10,000 symbols; its task has ended, what it said stands."""
    return ran(made, SYMBOLS)


@pytest.fixture(scope="module")
def small(made):
    """10 symbols; tests may let its event time go on."""
    return ran(made, 10)


def families(exporter):
    return list(read_text(exporter.render()[0].decode()))


def series(exporter):
    """Value by name and labels; process metrics and info apart."""
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for f in families(exporter)
        for s in f.samples
        if "_process_" not in s.name
    }


def fresh(desk):
    """The page of an exporter that sees the desk's owner for the first time."""
    exporter = Exporter(desk._group, Readiness(), Clock())
    exporter.restored(0, ["btc"])
    exporter.evaluated(desk.owner)
    exporter.committed(0, 3, 0.02)
    return exporter


def test_every_value_that_is_ok_is_a_series_and_no_other(desk):
    got = series(fresh(desk))
    names = {metric_name(family) for family in BY_NAME.values()}
    said = {key: number for key, number in got.items() if key[0] in names}
    ok = [v for v in desk.owner.fold.values() if v.estimate.status is Status.OK]
    assert len(said) == len(ok)
    assert {v.name for v in ok} >= {"psi", "prediction_psi", "serve_latency", "inference_latency", "equity"}
    for v in ok:
        if v.name == "psi":
            window = str(v.window // 1_000_000_000)
            labels = {"deployment": "btc", "tenant": "crypto", "window": window, **dict(v.labels)}
            assert said["shadow_monitor_psi", frozenset(labels.items())] == v.estimate.value


def test_ten_thousand_symbols_make_no_series_that_ten_do_not_make(small, desk):
    few, many = (
        {key: number for key, number in series(fresh(each)).items() if "cross_section" not in key[0]}
        for each in (small, desk)
    )
    # Within a symbol that has one event nothing can be ranked, stand still, or be traded.
    ranked = ("rank_correlation", "kendall_tau", "frozen_rate_ratio")
    traded = ("win_rate_ratio", "turnover_ratio", "fill_rate_ratio", "markout_ratio", "capped_orders")
    names = {f"shadow_monitor_{name}" for name in (*ranked, *traded)}
    within = {key for key in few if key[0] in names}
    within |= {k for k in few if k[0] == "shadow_monitor_rule_value" and ("rule", "agrees") in k[1]}
    assert many.keys() - few.keys() == set()
    assert few.keys() - many.keys() == within
    assert not any("SYM" in value or "event-" in value for _, labels in many for _, value in labels)


def test_names_follow_the_rules_of_promtool(desk):
    page = families(fresh(desk))
    assert complaints(page) == []
    assert {f.name for f in page} > {"shadow_monitor_rule_value", "shadow_monitor_commit_duration_seconds"}


def test_the_page_is_open_metrics_where_that_is_asked_for(desk):
    body, content_type = fresh(desk).render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert {f.name for f in read_openmetrics(body.decode())} >= {"shadow_monitor_rows", "shadow_monitor_psi"}


def test_a_scrape_takes_less_than_50_ms(desk):
    exporter, took = fresh(desk), []
    for _ in range(7):
        began = time.perf_counter()
        exporter.render()
        took.append(time.perf_counter() - began)
    assert statistics.median(took) < 0.05


def test_rows_and_dead_letters_are_those_of_the_deployment(desk):
    got = series(fresh(desk))

    def total(name, **labels):
        return got[f"shadow_monitor_{name}_total", frozenset(BASE | labels.items())]

    assert total("rows", stream="features", fate="rejected") == 3
    assert total("dead_letters", stream="features", reason="undecodable") == 3
    assert total("rows", stream="features", fate="accepted") > 9000


def test_a_real_run_shows_commits_and_how_far_behind_it_is(desk):
    got = series(desk.exporter)
    commits = got["shadow_monitor_commits_total", frozenset()]
    assert commits >= 1
    assert got["shadow_monitor_commit_duration_seconds_count", frozenset()] == commits
    assert got["shadow_monitor_committed_records_total", frozenset()] > commits
    assert 0 < got["shadow_monitor_evaluation_lag_seconds", frozenset(BASE)] < 60
    assert 0 < got["shadow_monitor_watermark_lag_seconds", frozenset({("task", "0")})] < 60
    assert got["shadow_monitor_buffered_rows", frozenset({("task", "0")})] == 0


def test_rare_metrics_are_taken_at_their_own_schedule(small):
    fold = small.owner.fold
    before = take(fold, None, 0)
    assert take(fold, before, 1).values == before.values
    for _ in range(10):
        fold.evaluate(fold.following, {})
    soon = take(fold, before, 2)
    assert soon.values[1_000_000_000].at == fold.at
    assert soon.values[MINUTE] is before.values[MINUTE]
    while fold.at // MINUTE == before.values[MINUTE].at // MINUTE:
        fold.evaluate(fold.following, {})
    later = take(fold, soon, 3)
    assert later.values[MINUTE].at == fold.at
    taken = {v.name for v in later.values[MINUTE].values}
    assert taken >= {"psi", "prediction_psi"}
    assert {fold.grid.schedule(BY_NAME[name].every_ns) for name in taken} == {MINUTE}


def test_values_are_taken_at_most_once_a_second(made, desk):
    now = [0]
    exporter = Exporter(made, Readiness(), lambda: now[0])
    exporter.evaluated(desk.owner)
    first = exporter._shown["btc"]
    now[0] = TAKE_EVERY_NS - 1
    exporter.evaluated(desk.owner)
    assert exporter._shown["btc"] is first
    now[0] = TAKE_EVERY_NS
    exporter.evaluated(desk.owner)
    assert exporter._shown["btc"] is not first


def test_what_a_lost_task_alone_could_say_disappears(desk):
    exporter = fresh(desk)
    labels = [dict(labels) for name, labels in series(exporter) if name != "shadow_monitor_artifact_info"]
    assert any("deployment" in each for each in labels)
    exporter.lost(0)
    got = series(exporter)
    labels = [dict(labels) for name, labels in got if name != "shadow_monitor_artifact_info"]
    assert not any("deployment" in each or "task" in each for each in labels)
    assert got["shadow_monitor_tasks", frozenset()] == 0


def test_a_task_that_lost_its_partition_leaves_deployments_of_others_alone(desk):
    exporter = fresh(desk)
    exporter.restored(1, [])
    exporter.lost(1)
    assert any(name == "shadow_monitor_psi" for name, _ in series(exporter))


def test_many_tasks_share_one_series(made):
    exporter = Exporter(made, Readiness(), Clock())
    for task in range(TASKS_SHOWN):
        exporter.restored(task)
    assert sum(name == "shadow_monitor_buffered_rows" for name, _ in series(exporter)) == TASKS_SHOWN
    exporter.restored(TASKS_SHOWN)
    got = series(exporter)
    assert [labels for name, labels in got if name == "shadow_monitor_buffered_rows"] == [frozenset()]
    assert got["shadow_monitor_tasks", frozenset()] == TASKS_SHOWN + 1


def test_decisions_count_once_they_are_published(made, small):
    owner = small.owner
    exporter = Exporter(made, Readiness(), Clock())
    exporter.evaluated(owner)
    owner.fold.decisions = []
    owner.fold.command(Kill())
    kind = ("shadow_monitor_decisions_total", frozenset(BASE | {("type", "kill_switch")}))
    assert series(exporter)[kind] == 0
    exporter.published(owner)
    assert series(exporter)[kind] == 1


class Kill(Command):
    """A person's kill."""

    command_id, action, ts_ns, actor, reason = "c-1", "kill", START_NS, "alice", "because"
    subject = scope = expected_epoch = None

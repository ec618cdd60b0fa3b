"""A replica is ready when its partitions are assigned, restored and near the clock; else it says why not."""

from monitor.observe.readiness import Readiness
from monitor.wire.table import NO_TIME

S = 1_000_000_000


class Time:
    now = 1_000 * S

    def __call__(self):
        return self.now


def test_it_becomes_ready_step_by_step():
    clock = Time()
    readiness = Readiness(clock)
    assert readiness.reasons() == ["no partitions have been assigned yet"]
    readiness.assigned({2, 5})
    assert readiness.reasons() == [
        "task 2: its state is not restored",
        "task 5: its state is not restored",
    ]
    readiness.restored(5)
    readiness.restored(2)
    readiness.reached(5, NO_TIME)
    readiness.reached(2, clock.now - 31 * S)
    assert readiness.reasons() == [
        "task 2: 31.0 s behind, more than 30 s",
        "task 5: has not seen time pass yet",
    ]
    readiness.reached(2, clock.now - 30 * S)
    readiness.reached(5, clock.now + S)
    assert readiness.reasons() == []


def test_a_task_that_hangs_does_not_stay_ready():
    clock = Time()
    readiness = Readiness(clock, lag_limit_ns=10 * S)
    readiness.assigned({0})
    readiness.restored(0)
    readiness.reached(0, clock.now)
    assert readiness.reasons() == []
    clock.now += 11 * S
    assert readiness.reasons() == ["task 0: 11.0 s behind, more than 10 s"]


def test_a_task_that_ended_must_be_restored_again():
    clock = Time()
    readiness = Readiness(clock)
    readiness.assigned({0})
    readiness.restored(0)
    readiness.reached(0, clock.now)
    readiness.lost(0)
    readiness.reached(0, clock.now)
    assert readiness.reasons() == ["task 0: its state is not restored"]


def test_partitions_that_went_elsewhere_are_not_waited_for_and_a_standby_is_ready():
    readiness = Readiness(Time())
    readiness.assigned({0, 1})
    readiness.assigned(set())
    assert readiness.reasons() == []

"""When people have to be told that records do not reach the disk."""

from __future__ import annotations

from trimtab.serving.record.health import FAILING_S, HOLD_S, SLOW_S, LogHealth


def test_a_short_failure_is_counted_and_no_alarm() -> None:
    """A network volume hiccups once a day."""
    health = LogHealth(0.5)
    assert health.failed("I/O error", 10.0)
    assert not health.failed("I/O error", 10.5)
    assert health.alarm(5, 11.0) is None
    health.wrote()
    assert (health.write_errors, health.last_error, health.alarm(0, 11.0)) == (2, None, None)


def test_a_failure_that_stays_is_an_alarm_that_outlasts_its_end() -> None:
    """The disk is full overnight; who looks half a minute after it was mended still learns of it, later not."""
    health = LogHealth(0.5)
    for step in range(10):
        health.failed("No space left on device", 10.0 + 0.5 * step)
    said = health.alarm(1200, 14.5 + FAILING_S)
    assert said is not None
    assert "No space left on device" in said
    assert "0 rows lost, 1,200 wait" in said
    health.wrote()
    assert health.alarm(0, 40.0) is not None
    assert health.alarm(0, 18.0 + HOLD_S) is None


def test_lost_rows_are_an_alarm_at_once() -> None:
    """The queue is full, or rows could not be turned into columns."""
    health = LogHealth(0.5)
    health.drop(3, 5.0)
    assert health.alarm(10, 5.1) == "the queue is full; 3 rows lost, 10 wait"
    health.lose(2, "2 rows could not be recorded: x", 6.0)
    assert health.alarm(0, 6.1) == "2 rows could not be recorded: x; 5 rows lost, 0 wait"


def test_a_slow_disk_is_an_alarm() -> None:
    """A write hangs in the kernel: nothing fails, nothing ends."""
    health = LogHealth(0.5)
    assert health.alarm(10, 99.0) is None
    health.begin(100.0)
    assert health.alarm(10, 100.0 + 0.9 * SLOW_S) is None
    said = health.alarm(10, 100.0 + SLOW_S)
    assert said is not None
    assert "a write takes 5 s" in said
    health.end(107.0)
    after = health.alarm(0, 108.0)
    assert after is not None
    assert "took 7 s" in after


def test_rare_writes_are_not_slow_ones() -> None:
    """`--flush 60` is meant."""
    health = LogHealth(60.0)
    health.begin(10.0)
    assert health.alarm(10, 100.0) is None
    assert health.alarm(10, 130.0) is not None

"""What is counted, by whom, and how it reads to Prometheus."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.servers import INFER, eventually, row, start
from tests.serving.test_workers import again, workers_of
from trimtab.serving.process.counters import SIZE, Counters, counters_folder, read_counters
from trimtab.serving.process.metrics import ARM_CELLS, BUCKETS_S, KEPT_ARMS, KEPT_RESPONSES, ArmCounters, Metrics
from trimtab.serving.process.metrics_text import COUNTERS, GAUGES, render, totals_of


def values(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels, as Prometheus' own parser reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def total(text: bytes, name: str) -> float:
    return sum(value for (found, _), value in values(text).items() if found == name)


def test_every_family_reads_as_prometheus_wants_it() -> None:
    """A scrape of a server that has done everything once."""
    metrics = Metrics()
    metrics.arm('mo"del', 7, "champion").answered(0.002)
    metrics.arm('mo"del', 7, "champion").answered_rows([0.00005, 7.0])
    metrics.arm('mo"del', 7, "shadow").failed(3)
    metrics.response("infer", 200, 2)
    metrics.response("infer", 400)
    metrics.labels_accepted += 4
    metrics.publish(dict.fromkeys(COUNTERS, 1.0), dict.fromkeys(GAUGES, 2.0))
    text = render(totals_of(metrics))
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    assert all(family.documentation and family.type != "unknown" for family in families.values())
    labels = (("arm", "champion"), ("model", 'mo"del'), ("version", "7"))
    found = values(text)
    assert found["trimtab_predictions_total", labels] == 3
    assert found["trimtab_prediction_duration_seconds_count", labels] == 3
    assert (
        found["trimtab_prediction_duration_seconds_bucket", (("arm", "champion"), ("le", "0.0001"), *labels[1:])] == 1
    )
    assert found["trimtab_prediction_duration_seconds_sum", labels] == pytest.approx(7.00205)
    assert found["model_infer_request_success_total", labels[1:]] == 3
    assert found["model_infer_request_failure_total", labels[1:]] == 0, "the shadow is not MLServer's"
    route = (("method", "POST"), ("path", "/v2/models/{model_name}/infer"), ("status_code", "400"))
    assert found["rest_server_requests_total", route] == 1
    assert found["trimtab_labels_total", (("outcome", "accepted"),)] == 4
    for name in families:
        assert not name.endswith(("_ms", "_milliseconds", "_kb", "_mb", "_percent")), "base units only"


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5)), max_size=40))
def test_rows_counted_together_are_counted_as_one_by_one(calls: list[tuple[float, int]]) -> None:
    """A turn of the event loop with many rows."""
    singly, together = ArmCounters(), ArmCounters()
    for seconds, count in calls:
        together.answered_rows([seconds] * count)
        for _ in range(count):
            singly.answered(seconds)
    assert (singly.successes, singly.rows) == (together.successes, together.rows)
    assert singly._cells[4:] == together._cells[4:]
    assert len(singly._cells) == ARM_CELLS == 4 + len(BUCKETS_S) + 1


def test_cardinality_is_bounded_and_nothing_is_lost() -> None:
    """Hundreds of versions in a year, and a client that provokes every status there is."""
    metrics = Metrics()
    for version in range(300):
        metrics.arm("m", 1, "champion").answered(0.001)  # routed to all the time
        metrics.arm("m", version + 2, "challenger").answered(0.001)
    for status in range(1000):
        metrics.response("infer", status)
    text = render(totals_of(metrics))
    found = values(text)
    versions = {dict(labels)["version"] for name, labels in found if name == "trimtab_predictions_total"}
    assert {"1", "301", "other"} <= versions
    assert len(versions) == KEPT_ARMS + 1
    assert total(text, "trimtab_predictions_total") == 600
    assert found["trimtab_predictions_total", (("arm", "champion"), ("model", "m"), ("version", "1"))] == 300
    assert total(text, "trimtab_http_responses_total") == 1000
    assert len([name for name, _ in found if name == "trimtab_http_responses_total"]) <= KEPT_RESPONSES + 1


def test_a_file_that_is_full_stops_nothing(tmp_path: Path) -> None:
    """More series than the file has room for: the rest is not counted, requests go on."""
    counters = Counters(tmp_path / "w0.counters")
    given = [counters.row((str(i),), 1000) for i in range(100)]
    assert given[0] is not None
    assert given[-1] is None
    assert (tmp_path / "w0.counters").stat().st_size == SIZE


def count_and_die(path: Path) -> None:
    metrics = Metrics(path)
    for _ in range(500):
        metrics.arm("m", 1, "champion").answered(0.001)
    metrics.publish({"trimtab_log_rows_written_total": 400.0}, {"trimtab_connections": 7.0})
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_workers_counts_stay_and_its_successor_counts_on(tmp_path: Path) -> None:
    """kill -9 of a worker: rate() over the server's counters must show no reset, gauges only the living."""
    process = multiprocessing.get_context("spawn").Process(target=count_and_die, args=(tmp_path / "w1.counters",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    sibling = Metrics(tmp_path / "w0.counters")
    sibling.arm("m", 1, "champion").answered(0.001)
    sibling.publish({"trimtab_log_rows_written_total": 1.0}, {"trimtab_connections": 2.0})
    text = render(totals_of(sibling))
    assert total(text, "trimtab_predictions_total") == 501
    assert total(text, "trimtab_log_rows_written_total") == 401
    assert (total(text, "trimtab_connections"), total(text, "trimtab_workers")) == (2, 1)
    successor = Metrics(tmp_path / "w1.counters")
    successor.arm("m", 1, "champion").answered(0.001)
    successor.publish({"trimtab_log_rows_written_total": 1.0}, {"trimtab_connections": 1.0})
    for metrics in (sibling, successor):
        text = render(totals_of(metrics))
        assert total(text, "trimtab_predictions_total") == 502
        assert total(text, "trimtab_log_rows_written_total") == 402
        assert (total(text, "trimtab_connections"), total(text, "trimtab_workers")) == (3, 2)


def count_on(path: Path) -> None:
    metrics = Metrics(path)
    for version in range(10_000):
        metrics.arm("m", version, "challenger").answered(0.001)
    metrics.close()


def test_a_reader_never_sees_half_a_change(tmp_path: Path) -> None:
    """A scrape while another worker gives an old version's place to a new one: sums go up and nowhere else."""
    path = tmp_path / "w1.counters"
    process = multiprocessing.get_context("spawn").Process(target=count_on, args=(path,))
    process.start()
    eventually(path.exists)
    seen = [0.0]
    while process.is_alive() or len(seen) < 3:
        found, _ = read_counters(path)
        seen.append(sum(sum(cells[4:]) for key, cells in found.items() if key[0] == "arm"))
    process.join()
    assert process.exitcode == 0
    assert seen == sorted(seen)
    found, lives = read_counters(path)
    assert sum(sum(cells[4:]) for key, cells in found.items() if key[0] == "arm") == 10_000
    assert not lives


def test_what_is_no_file_of_counters_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A worker is just being started, or somebody put a file there."""
    metrics = Metrics(tmp_path / "w0.counters")
    (tmp_path / "w1.counters").write_bytes(b"")
    (tmp_path / "w2.counters").write_bytes(b"something else")
    metrics.arm("m", 1, "champion").answered(0.001)
    assert total(render(totals_of(metrics)), "trimtab_predictions_total") == 1
    assert "w2.counters is no file of counters" in caplog.text
    assert "w1.counters" not in caplog.text


def test_any_worker_answers_for_all_and_nothing_goes_back(packages: Path, tmp_path: Path) -> None:
    """Prometheus scrapes one port behind which three processes serve, and one of them is killed meanwhile."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "3") as server:

        def scrape() -> bytes:
            return server.request("GET", "/metrics")[2]

        def workers() -> set[int]:
            return {int(path.stem) for path in (server.deployment / "servers").glob("*.json")}

        eventually(lambda: len(workers()) == 3)
        for count in range(1, 31):
            assert server.post(INFER, row())[0] == 200
            assert total(scrape(), "trimtab_predictions_total") == count
        victim = min(workers())
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(workers() - {victim}) == 3)
        assert total(scrape(), "trimtab_predictions_total") == 30
        assert server.post(INFER, row())[0] == 200
        assert total(scrape(), "trimtab_predictions_total") == 31
        eventually(lambda: total(scrape(), "trimtab_workers") == 3)
        assert total(scrape(), "trimtab_generation") == 1
        assert total(scrape(), "process_resident_memory_bytes") > 1e7


@pytest.mark.parametrize("fixed", [True, False])
def test_who_follows_a_killed_server_counts_on(packages: Path, tmp_path: Path, fixed: bool) -> None:
    """kill -9 of a supervisor: its successor's /metrics go on from where the workers were, on a free port too, and
    nothing is left over.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1] if fixed else 0
    with start(tmp_path, {1: packages / "plain-1"}, None, "--workers", "2", "--port", str(port)) as server:
        for _ in range(5):
            assert server.post(INFER, row())[0] == 200
        server.process.kill()
        server.process.wait()
        with again(server, tmp_path, *(() if fixed else ("--workers", "2", "--port", "0"))) as successor:
            eventually(lambda: {card["supervisor"] for card in workers_of(server).values()} == {successor.pid})
            assert server.post(INFER, row())[0] == 200
            assert total(server.request("GET", "/metrics")[2], "trimtab_predictions_total") == 6
        assert sorted(path.name for path in (server.deployment / "servers").iterdir()) == []


def test_a_living_servers_counters_are_not_taken(tmp_path: Path) -> None:
    """Two servers are told the same place by mistake: each counts for itself; what a dead one left is removed."""
    dead, followed = tmp_path / "counters-2", tmp_path / "counters-3"
    for folder in (dead, followed):
        folder.mkdir()
        (folder / "passing").touch()
    worker = Counters(followed / "w0.counters")
    with counters_folder(tmp_path / "counters-1") as first, counters_folder(tmp_path / "counters-1") as second:
        assert first == tmp_path / "counters-1"
        assert second is not None
        assert second != first
        assert not dead.exists()
        assert followed.exists(), "its supervisor was killed, its worker lives: another supervisor may follow"
    worker.close()
    with counters_folder(followed, passing=True, anew=True) as same:
        assert same == followed
        assert not list(followed.glob("*.counters")), "the same free port by chance"
    assert not first.exists()
    assert not second.exists()

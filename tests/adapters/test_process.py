"""Jobs as processes: found again after a crash, never two at once, never mistaken for another process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.adapters.process import ProcessJobs, read_spec, write_result
from trimtab.core.domain.errors import ExternalError, IntegrityError, InvariantError, NotFoundError
from trimtab.ports import JobPhase

WAIT_S = 30.0

SLEEPER = "import sys, time; print('started', sys.argv[1], flush=True); time.sleep(60)"


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def sleeper(folder: Path) -> ProcessJobs:
    return ProcessJobs(folder, [sys.executable, "-S", "-c", SLEEPER])


def kill(folder: Path, job: str) -> None:
    os.kill(int((folder / job / "pid").read_text()), signal.SIGKILL)


CONTROLLER = f"""
import os, sys
from pathlib import Path
from trimtab.adapters.process import ProcessJobs
ProcessJobs(Path(sys.argv[1]), [sys.executable, "-S", "-c", {SLEEPER!r}]).start("train-1", {{"strategy": "full"}})
os.kill(os.getpid(), 9)
"""


def test_a_job_outlives_the_controller_that_started_it(tmp_path: Path) -> None:
    """kill -9 of the controller during a training; the next one finds the job, and finds it lost when it dies too."""
    controller = subprocess.run([sys.executable, "-c", CONTROLLER, str(tmp_path)], check=False)
    assert controller.returncode == -signal.SIGKILL
    jobs = sleeper(tmp_path)
    assert jobs.poll("train-1").phase is JobPhase.RUNNING
    pid = (tmp_path / "train-1" / "pid").read_text()
    jobs.start("train-1", {"strategy": "full"})
    assert (tmp_path / "train-1" / "pid").read_text() == pid
    kill(tmp_path, "train-1")
    wait(lambda: jobs.poll("train-1").phase is JobPhase.LOST)


def test_a_crash_before_the_process_was_there_is_made_good(tmp_path: Path) -> None:
    """The controller died between writing spec.json and starting the process."""
    (tmp_path / "train-1").mkdir()
    (tmp_path / "train-1" / "spec.json").write_text("{}")
    jobs = sleeper(tmp_path)
    assert jobs.poll("train-1").phase is JobPhase.MISSING
    jobs.start("train-1", {"strategy": "full"})
    assert jobs.poll("train-1").phase is JobPhase.RUNNING
    assert read_spec(tmp_path, "train-1") == {"strategy": "full"}
    kill(tmp_path, "train-1")
    wait(lambda: jobs.poll("train-1").phase is JobPhase.LOST)


def test_a_crash_before_the_pid_was_written_starts_no_second_process(tmp_path: Path) -> None:
    """The controller died between starting the process and writing its pid: the lock still tells."""
    jobs = sleeper(tmp_path)
    jobs.start("train-1", {})
    pid = int((tmp_path / "train-1" / "pid").read_text())
    (tmp_path / "train-1" / "pid").unlink()
    successor = sleeper(tmp_path)
    assert successor.poll("train-1").phase is JobPhase.RUNNING
    successor.start("train-1", {})
    assert not (tmp_path / "train-1" / "pid").exists()
    os.kill(pid, signal.SIGKILL)
    wait(lambda: jobs.poll("train-1").phase is not JobPhase.RUNNING)


def test_a_pid_that_another_process_got_is_not_mistaken(tmp_path: Path) -> None:
    """The machine was restarted; the number in the file now belongs to something else that lives."""
    (tmp_path / "train-1").mkdir()
    (tmp_path / "train-1" / "spec.json").write_text("{}")
    (tmp_path / "train-1" / "pid").write_text(f"{os.getpid()}\n")
    assert sleeper(tmp_path).poll("train-1").phase is JobPhase.LOST


def test_output_is_kept_and_named(tmp_path: Path) -> None:
    """Somebody asks why a training failed."""
    code = "import sys; print('reading data'); sys.exit('no column amout')"
    jobs = ProcessJobs(tmp_path, [sys.executable, "-S", "-c", code])
    jobs.start("train-1", {})
    wait(lambda: jobs.poll("train-1").phase is JobPhase.LOST)
    log = Path(jobs.poll("train-1").log)
    assert log.read_text() == "reading data\nno column amout\n"


def test_a_job_does_not_take_the_terminal_or_its_signals(tmp_path: Path) -> None:
    """Ctrl-C in `trimtab up` must not kill a training."""
    jobs = sleeper(tmp_path)
    jobs.start("train-1", {})
    pid = int((tmp_path / "train-1" / "pid").read_text())
    assert os.getsid(pid) == pid != os.getsid(0)
    kill(tmp_path, "train-1")
    wait(lambda: jobs.poll("train-1").phase is JobPhase.LOST)


def test_a_command_that_is_not_there_is_said_and_can_be_mended(tmp_path: Path) -> None:
    """The environment was removed under a running controller, then made again."""
    with pytest.raises(ExternalError, match=r"job 'train-1': cannot start .*nowhere/python"):
        ProcessJobs(tmp_path, [str(tmp_path / "nowhere" / "python")]).start("train-1", {})
    jobs = sleeper(tmp_path)
    assert jobs.poll("train-1").phase is JobPhase.MISSING
    jobs.start("train-1", {})
    kill(tmp_path, "train-1")
    wait(lambda: jobs.poll("train-1").phase is JobPhase.LOST)


@pytest.mark.parametrize("job", ["", "../etc", "a/b", ".hidden", "x" * 200])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, job: str) -> None:
    """A name from elsewhere must not lead out of the folder."""
    with pytest.raises(InvariantError, match="cannot name a job"):
        sleeper(tmp_path).start(job, {})
    assert list(tmp_path.iterdir()) == []


def test_the_jobs_side_of_the_folder(tmp_path: Path) -> None:
    """What the process itself reads and writes."""
    (tmp_path / "train-1").mkdir()
    (tmp_path / "train-1" / "spec.json").write_text('{"strategy": "full"}')
    assert read_spec(tmp_path, "train-1") == {"strategy": "full"}
    write_result(tmp_path, "train-1", {"outcome": "failed", "error": "no rows"})
    report = sleeper(tmp_path).poll("train-1")
    assert (report.phase, report.result) == (JobPhase.FINISHED, {"outcome": "failed", "error": "no rows"})
    assert json.loads((tmp_path / "train-1" / "result.json").read_text())["outcome"] == "failed"
    with pytest.raises(NotFoundError, match=r"there is no job 'train-2' in .*; there are train-1"):
        read_spec(tmp_path, "train-2")


def test_a_result_that_is_no_object_is_named(tmp_path: Path) -> None:
    """Somebody wrote it by hand."""
    (tmp_path / "train-1").mkdir()
    (tmp_path / "train-1" / "result.json").write_text("[1]")
    with pytest.raises(IntegrityError, match=r"result\.json is not a JSON object"):
        sleeper(tmp_path).poll("train-1")


def test_a_job_that_died_is_started_once_more_and_then_lost(tmp_path: Path) -> None:
    """kill -9 of a training, by the kernel when memory ran out: the same run is done again; twice is no accident."""
    jobs = ProcessJobs(tmp_path, [sys.executable, "-S", "-c", SLEEPER], retries=1)
    jobs.start("train-1", {})
    first = (tmp_path / "train-1" / "pid").read_text()
    (tmp_path / "train-1" / "scratch").mkdir()
    kill(tmp_path, "train-1")
    wait(lambda: jobs.poll("train-1").phase is JobPhase.MISSING)
    assert not (tmp_path / "train-1" / "scratch").exists()
    jobs.start("train-1", {})
    assert jobs.poll("train-1").phase is JobPhase.RUNNING
    assert (tmp_path / "train-1" / "pid").read_text() != first
    kill(tmp_path, "train-1")
    wait(lambda: jobs.poll("train-1").phase is JobPhase.LOST)
    jobs.start("train-1", {})
    assert jobs.poll("train-1").phase is JobPhase.LOST


def test_a_controller_that_dies_over_the_second_start_does_not_use_it_up(tmp_path: Path) -> None:
    """The controller noted the job's death and was killed before it had started it again."""
    jobs = ProcessJobs(tmp_path, [sys.executable, "-S", "-c", SLEEPER], retries=1)
    jobs.start("train-1", {})
    kill(tmp_path, "train-1")
    wait(lambda: jobs.poll("train-1").phase is JobPhase.MISSING)
    (tmp_path / "train-1" / "deaths").write_text((tmp_path / "train-1" / "pid").read_text())
    successor = ProcessJobs(tmp_path, [sys.executable, "-S", "-c", SLEEPER], retries=1)
    successor.start("train-1", {})
    assert successor.poll("train-1").phase is JobPhase.RUNNING
    kill(tmp_path, "train-1")
    wait(lambda: successor.poll("train-1").phase is JobPhase.LOST)


def test_a_job_that_hangs_is_ended_and_has_failed(tmp_path: Path) -> None:
    """A training waits for a database that never answers: no later one could start."""
    jobs = ProcessJobs(tmp_path, [sys.executable, "-S", "-c", SLEEPER], time_limit_s=3600, retries=1)
    jobs.start("train-1", {})
    assert jobs.poll("train-1").phase is JobPhase.RUNNING
    pid = int((tmp_path / "train-1" / "pid").read_text())
    os.utime(tmp_path / "train-1" / "pid", (time.time() - 3700,) * 2)
    report = jobs.poll("train-1")
    assert report.phase is JobPhase.FINISHED
    assert report.result is not None
    assert report.result["outcome"] == "failed"
    assert report.result["error"] == "it took longer than 1h (retraining.time_limit) and was ended"
    wait(lambda: not Path(f"/proc/{pid}").exists())


MEASURER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_what_a_killed_job_had_started_is_ended(tmp_path: Path) -> None:
    """It was measuring latency on a server of its own when it was killed: the server must not run for ever."""
    jobs = ProcessJobs(tmp_path, [sys.executable, "-S", "-c", MEASURER])
    jobs.start("train-1", {})
    wait(lambda: (tmp_path / "train-1" / "output.log").read_text().endswith("\n"))
    child = int((tmp_path / "train-1" / "output.log").read_text())
    kill(tmp_path, "train-1")
    wait(lambda: jobs.poll("train-1").phase is JobPhase.LOST)
    wait(lambda: not runs(child))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False

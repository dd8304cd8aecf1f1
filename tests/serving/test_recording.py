"""What becomes of answered rows before they are logged: profiles, sampling, privacy."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.serving.servers import read_log
from tests.serving.test_records import NOON, SIGNATURE, record, slot
from trimtab.core.domain.errors import UserError
from trimtab.core.profiles import Baseline, Profile, categorical
from trimtab.core.profiles.baseline import Evaluation
from trimtab.frames import columns_of
from trimtab.serving.record.profile_columns import input_columns
from trimtab.serving.record.recorder import Recorder, sampled, unfit
from trimtab.serving.record.records import block_batches
from trimtab.serving.record.settings import LogSettings, log_of, log_text
from trimtab.serving.record.writer import LogWriter
from trimtab.serving.scoring.deployment import Slot

KEY = "0123456789abcdef"


def values(rng: np.random.Generator) -> list[Any]:
    """A row of the signature: number, whole number, truth, text, time; each may be missing."""
    row: list[Any] = [
        float(rng.normal()),
        int(rng.integers(0, 9)),
        bool(rng.random() < 0.5),
        str(rng.choice(["UA", "B6", "é"])),
        NOON + float(rng.integers(0, 9)),
    ]
    return [None if rng.random() < 0.2 else value for value in row]


def baseline(rng: np.random.Generator) -> Baseline:
    """Of the signature's columns and two classes."""
    n = 400
    columns = {
        "f": rng.normal(size=n),
        "i": rng.integers(0, 9, n).astype(float),
        "b": (rng.random(n) < 0.5).astype(float),
        "s": categorical(list(rng.choice(["UA", "AA"], n))),
        "t": NOON + rng.integers(0, 9, n).astype(float),
    }
    yes = rng.random(n)
    evaluation = Evaluation(np.column_stack([1 - yes, yes]), (yes > 0.5).astype(float), classes=("no", "yes"))
    return Baseline.fit(columns, evaluation=evaluation)


def deployed(directory: Path, version: int = 3) -> Baseline:
    """A deployment directory with the version's baseline."""
    made = baseline(np.random.default_rng(version))
    folder = directory / "deployment" / "versions" / str(version)
    folder.mkdir(parents=True)
    (folder / "baseline.bin").write_bytes(made.to_bytes())
    return made


def written(directory: Path, blocks: list[Any], log: LogSettings, parts: int = 1) -> LogWriter:
    """Write blocks by as many writers; the last of them."""
    for part in range(parts):
        recorder = Recorder(log, directory / "deployment")
        writer = LogWriter(directory / "logs", f"w{part}", 0.05, 100_000, recorder)
        writer.start()
        for block in blocks[part::parts]:
            writer.add(block)
        writer.close()
    return writer


def profiles(directory: Path) -> list[dict[str, Any]]:
    return read_log(directory / "logs" / "profiles").to_pylist()


@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(max_examples=30)
def test_columns_are_those_of_the_frames(seed: int, rows: int) -> None:
    """The server must count as the controller would from the same rows."""
    rng = np.random.default_rng(seed)
    at = slot()
    blocks = [record(at, str(i), values(rng)) for i in range(rows)]
    batches = [batch for part in (blocks[: rows // 2], blocks[rows // 2 :]) for _, batch in block_batches(part)]
    found = input_columns(batches, at.layout)
    table = pa.Table.from_batches(batches)
    names = [name for name in table.column_names if name.startswith("x.")]
    wanted = columns_of(table.select(names).rename_columns([name[2:] for name in names]))
    made = baseline(np.random.default_rng(0))
    ours, theirs = made.profile(found), made.profile(wanted)
    assert ours.rows == theirs.rows == rows
    assert np.array_equal(ours.counts, theirs.counts)
    assert np.allclose(ours.stats, theirs.stats)
    assert ours.names == theirs.names


def test_profiles_of_workers_add_up_to_the_whole_traffic(tmp_path: Path) -> None:
    """Two workers, an hour's turn, shadow rows and errors: the sum is the profile of what was answered."""
    made, rng = deployed(tmp_path), np.random.default_rng(1)
    at = slot()
    rows = [values(rng) for _ in range(300)]
    blocks = [record(at, str(i), row, time=NOON + 10 * i) for i, row in enumerate(rows)]
    others = [
        record(at, "e", values(rng), error="boom"),
        record(at, "s", None, shadow=True),
    ]
    writer = written(tmp_path, blocks + others, LogSettings(), parts=2)
    assert writer.recorder is not None
    assert not writer.recorder.failed
    found = profiles(tmp_path)
    assert {one["bucket"].timestamp() for one in found} == {NOON - 3600, NOON}, "event times lie 5 s before"
    assert {(one["baseline"], one["version"], one["generation"], one["own"]) for one in found} == {(3, 3, 12, True)}
    assert max(one["newest"].timestamp() for one in found) == NOON + 2990 - 5
    total = made.empty()
    for one in found:
        assert one["digest"] == total.digest
        total = total + Profile.from_bytes(one["profile"])
    table = read_log(tmp_path / "logs" / "predictions")
    answered = [row for row in table.to_pylist() if row["error"] is None and not row["shadow"]]
    names = {f"x.{name}": name for name in "fibst"}
    frame = pa.table({short: [row[name] for row in answered] for name, short in names.items()})
    scores = np.array([[row["y.score.no"], row["y.score.yes"]] for row in answered])
    wanted = made.profile(columns_of(frame), predictions=scores)
    assert total.rows == wanted.rows == 300
    assert np.array_equal(total.counts, wanted.counts)
    assert total.names == wanted.names


def test_a_challengers_rows_are_counted_in_the_champions_bins(tmp_path: Path) -> None:
    """During a canary the inputs of all traffic are compared with the champion's baseline, its answers only its own."""
    made, rng = deployed(tmp_path), np.random.default_rng(1)
    challenger = replace(slot(version=4), champion=3)
    blocks = [record(at, f"{i}{at.version}", values(rng)) for i in range(20) for at in (slot(), challenger)]
    written(tmp_path, blocks, LogSettings(rows=False))
    found = {one["own"]: one for one in profiles(tmp_path)}
    assert {own: (one["baseline"], one["version"], one["rows"]) for own, one in found.items()} == {
        True: (3, 3, 20),
        False: (3, 4, 20),
    }
    both = Profile.from_bytes(found[True]["profile"]) + Profile.from_bytes(found[False]["profile"])
    place = made.layout.index("prediction:class")
    assert both.counts[made.layout.part(place)].sum() == 20
    assert both.rows == 40
    assert not (tmp_path / "logs" / "predictions").exists()


def test_a_version_without_a_baseline_is_logged_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A hand-made package: no profile, said once, and every row in the log."""
    blocks = [record(slot(), str(i), [0.0, 1, True, "x", NOON]) for i in range(5)]
    writer = written(tmp_path, blocks, LogSettings())
    assert writer.written == 5
    assert not (tmp_path / "logs" / "profiles").exists()
    assert caplog.text.count("is not profiled") == 1


def test_memory_is_bounded_while_profiles_cannot_be_written(tmp_path: Path) -> None:
    """A replay of years by event time onto a disk that is full."""
    deployed(tmp_path)
    log = LogSettings(bucket_s=60.0)
    recorder = Recorder(log, tmp_path / "deployment")
    profiler = recorder._profiler
    assert profiler is not None
    for i in range(2000):
        for at, batch in block_batches([record(slot(), str(i), [0.0, 1, True, "x", NOON], time=NOON + 60 * i)]):
            recorder.take(at, batch)
        if i % 100 == 0:
            recorder.due_sums(float(i))
    recorder.due_sums(1e9)
    assert len(profiler._sums) <= 256
    assert profiler.uncounted + sum(one.profile.rows for one in profiler._sums.values()) == 2000


def test_sampling_is_reproducible_and_recorded(tmp_path: Path) -> None:
    """A tenth is logged: which tenth can be told from the ids alone, and rates can be corrected."""
    at = slot()
    ids = [f"01a206a1025c{i:06x}-506931f13e" for i in range(2000)]
    blocks = [record(at, identity, [0.0, 1, True, "x", NOON]) for identity in ids]
    shadow = [record(at, identity, None, shadow=True) for identity in ids]
    writer = written(tmp_path, blocks + shadow, LogSettings(sample=0.1, profiles=False))
    table = read_log(tmp_path / "logs" / "predictions")
    logged = table.column("prediction_id").to_pylist()
    assert sorted(logged) == sorted(2 * [identity for identity in ids if sampled(identity, 0.1)])
    assert set(table.column("sample").to_pylist()) == {0.1}
    assert 140 < len(set(logged)) < 260
    assert writer.recorder is not None
    assert writer.recorder.unsampled == 4000 - len(logged)
    assert writer.waiting == 0


@given(st.text(max_size=20), st.floats(0.001, 1), st.floats(0.001, 1))
def test_who_is_in_a_small_sample_is_in_a_larger_one(identity: str, a: float, b: float) -> None:
    """The share is raised: what was logged goes on being logged."""
    small, large = min(a, b), max(a, b)
    assert sampled(identity, large) or not sampled(identity, small)
    assert sampled(identity, 1.0)


def test_hashed_and_omitted_columns(tmp_path: Path) -> None:
    """The tail number is a person's in small aviation: its hash is stable, without the key nobody can make it."""
    deployed(tmp_path)
    signature = structs.replace(SIGNATURE, entity="who")
    at = slot(signature)
    blocks = [
        record(at, "a", [0.5, 3, True, "UA", NOON], entity="N1"),
        record(at, "b", [0.5, 3, True, None, NOON], entity=None),
        record(at, "c", [0.5, 3, True, "UA", NOON], entity="N1", error="cannot score 'UA'"),
    ]
    log = LogSettings(hashed=("s", "who", "i"), omitted=("f",), key=KEY)
    written(tmp_path, blocks, log)
    text = b"".join(path.read_bytes() for path in (tmp_path / "logs").rglob("*.parquet"))
    assert b"UA" not in text
    assert b"N1" not in text
    got = {row["prediction_id"]: row for row in read_log(tmp_path / "logs" / "predictions").to_pylist()}
    assert "x.f" not in got["a"], "left out"
    assert "x.i" not in got["a"], "a number cannot be hashed: it is left out rather than shown"
    assert got["a"]["x.s"] == got["c"]["x.s"] != got["a"]["entity"]
    assert (len(got["a"]["x.s"]), got["b"]["x.s"], got["b"]["entity"]) == (32, None, None)
    assert "withheld" in got["c"]["error"]
    assert unfit(log, signature) == ["'i' is int64: only text is hashed, so it is left out"]
    assert unfit(replace(log, omitted=("nothing",)), signature)[0] == "'nothing' is no input of m"
    again, other = tmp_path / "again", tmp_path / "other"
    written(again, blocks[:1], log)
    written(other, blocks[:1], replace(log, key=KEY[::-1]))
    hashes = [read_log(place / "logs" / "predictions").to_pylist()[0]["x.s"] for place in (again, other)]
    assert hashes[0] == got["a"]["x.s"] != hashes[1]


def test_the_entity_may_be_left_out(tmp_path: Path) -> None:
    """Nobody should be followed."""
    written(tmp_path, [record(slot(), "a", [0.5, 3, True, "UA", NOON], entity="N1")], LogSettings(omitted=("entity",)))
    assert read_log(tmp_path / "logs" / "predictions").to_pylist()[0]["entity"] is None


def test_what_is_wrong_with_the_settings_is_said(tmp_path: Path) -> None:
    """Before anything is served."""
    with pytest.raises(UserError, match=r"at most 1, found 2"):
        LogSettings(sample=2)
    with pytest.raises(UserError, match="no key is given"):
        LogSettings(hashed=("s",))
    with pytest.raises(UserError, match="both hashed and left out"):
        LogSettings(hashed=("s",), omitted=("s",), key=KEY)
    with pytest.raises(UserError, match="nothing could be watched"):
        LogSettings(rows=False, profiles=False)
    with pytest.raises(UserError, match="less than the size"):
        LogSettings(bytes_max=10, bytes_hard=5)
    (tmp_path / "key").write_text("short\n")
    with pytest.raises(UserError, match="5 bytes, fewer than 16"):
        LogSettings(hashed=("s",), key_file=tmp_path / "key").secret()
    with pytest.raises(UserError, match="No such file"):
        LogSettings(hashed=("s",), key_file=tmp_path / "none").secret()
    (tmp_path / "key").write_text(KEY + "\n")
    assert LogSettings(hashed=("s",), key_file=tmp_path / "key").secret() == KEY.encode()
    assert KEY not in repr(LogSettings(hashed=("s",), key=KEY))
    assert not math.isnan(LogSettings().sample)


def test_slots_of_a_deployment_know_their_champion() -> None:
    """A slot made by hand is compared with itself."""
    assert slot().champion is None
    assert isinstance(slot(), Slot)


def test_settings_travel_to_the_server_and_back_without_the_secret(tmp_path: Path) -> None:
    """`trimtab up` starts the server with its project's settings; `ps` shows no key."""
    made = LogSettings(sample=0.5, hashed=("s",), omitted=("f",), key=KEY, age_s=60.0, bytes_max=7, bytes_hard=9)
    text = log_text(made)
    assert KEY not in text
    assert log_of(text, {"TRIMTAB_LOG_KEY": KEY}) == made
    assert log_of(None, {}) == LogSettings()
    assert log_of('{"omitted": []}', {}, made).omitted == ()
    assert log_of(None, {}, made) == made
    with_file = log_of(json.dumps({"hashed": ["s"], "key_file": str(key_file(tmp_path))}), {})
    assert with_file.key_file == tmp_path / "key"
    assert log_of(log_text(with_file), {}) == with_file
    for text, words in (
        ('{"simple": 1}', "'simple' is no setting; there are rows, sample"),
        ("[]", "write e.g."),
        ('{"sample": "much"}', "sample"),
        ('{"hashed": ["s"]}', "no key is given"),
    ):
        with pytest.raises(UserError, match=words):
            log_of(text, {})


def key_file(directory: Path) -> Path:
    path = directory / "key"
    path.write_text(KEY)
    return path

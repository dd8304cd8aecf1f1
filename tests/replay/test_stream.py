"""Playing history through a real server: what is sent, when, and what is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.servers import Server, start
from trimtab.core.domain.errors import DataError, ExternalError, UserError
from trimtab.replay.stream import Columns, Stream, _fragments, play_steps, settled

DAY_S = 86400.0
START = 1_361_854_800.0
COLUMNS = Columns("at", "y", ("a", "b", "c", "d"), label_time="known", entity="user")


def history(rows: int = 300) -> pa.Table:
    """Three days, in no order; labels come two hours after the event."""
    rng = np.random.default_rng(4)
    at = START + rng.permutation(rows) * (3 * DAY_S / rows)
    columns: dict[str, Any] = {name: rng.normal(size=rows) for name in "abcd"}
    columns |= {"at": stamps(at), "known": stamps(at + 7200), "y": rng.random(rows) < 0.3}
    return pa.table(columns | {"user": [f"u{i % 20}" for i in range(rows)]})


def stamps(seconds: np.ndarray) -> pa.Array:
    return pa.array((seconds * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC"))


def seconds(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].cast(pa.int64())) / 1e6


def stream(server: Server, table: pa.Table | None = None, columns: Columns = COLUMNS) -> Stream:
    url = f"http://{server.host}:{server.port}"
    return Stream(history() if table is None else table, columns, url, "plain", connections=4)


def test_only_what_had_happened_is_sent(server: Server) -> None:
    """A day is played: the next day's requests and the labels that are not known yet stay behind."""
    with stream(server) as playing:
        playing.play(START + DAY_S)
        assert (playing.tally.requests, playing.tally.failed, playing.left) == (100, 0, 200)
        assert playing.tally.labels == 92  # of the last two hours none is known
        predictions, labels = server.predictions(), server.labels()
    assert seconds(predictions, "event_time").max() < START + DAY_S
    assert seconds(labels, "label_time").max() < START + DAY_S
    assert len(labels) == 92


def test_all_is_on_disk_when_play_returns(server: Server) -> None:
    """A controller that looks right after a checkpoint sees every answer, every shadow score and every label."""
    with stream(server) as playing:
        for day in (1, 2, 3):
            playing.play(START + day * DAY_S)
            predictions = server.predictions()
            assert predictions["shadow"].to_pylist().count(False) == 100 * day
            assert predictions["shadow"].to_pylist().count(True) == 100 * day
            assert len(server.labels()) == playing.tally.labels
        playing.play(START + 4 * DAY_S)
        assert playing.tally.labels == 300
        assert playing.left == 0


def test_answers_can_be_joined_with_their_labels_and_entities(server: Server) -> None:
    """Each label stands to the prediction of its own row."""
    with stream(server) as playing:
        playing.play(START + 4 * DAY_S)
    table = history()
    order = np.argsort(seconds(table, "at"), kind="stable")
    expected = {f"r-{place:09d}": row for place, row in enumerate(order)}
    labels = server.labels()
    for name, label in zip(labels["prediction_id"].to_pylist(), labels["label"].to_pylist(), strict=True):
        assert label == str(table["y"][int(expected[name])].as_py()).lower()
    answered = [row for row in server.predictions().to_pylist() if not row["shadow"]]
    for row in answered:
        assert row["entity"] == table["user"][int(expected[row["prediction_id"]])].as_py()
        assert row["x.a"] == table["a"][int(expected[row["prediction_id"]])].as_py()


def test_a_replay_gives_every_row_to_the_same_version(server: Server, packages: Path, tmp_path: Path) -> None:
    """The demo is run twice: who is a guinea pig does not depend on the order of answers."""
    arms = []
    for each in ("first", "second"):
        versions = {1: packages / "plain-1", 2: packages / "plain-2"}
        with (
            start(tmp_path / each, versions, {1: 70, 2: 30}) as running,
            stream(running) as playing,
        ):
            playing.play(START + 4 * DAY_S)
            rows = running.predictions()
            arms.append(dict(zip(rows["prediction_id"].to_pylist(), rows["version"].to_pylist(), strict=True)))
    assert arms[0] == arms[1]
    assert set(arms[0].values()) == {1, 2}


def test_refusals_are_counted_and_their_labels_withheld(packages: Path, tmp_path: Path) -> None:
    """No version is installed yet: the server answers 503, and nothing is labelled that was not predicted."""
    with start(tmp_path, {}) as empty, stream(empty) as playing:
        playing.play(START + DAY_S)
        assert (playing.tally.requests, playing.tally.failed) == (100, 100)
        assert (playing.tally.labels, playing.tally.withheld) == (0, 92)
        assert "503" in playing.tally.failures[0]


def test_rows_that_do_not_fit_are_counted_as_failed(server: Server) -> None:
    """A column of the history is text where the model takes a number."""
    table = history().set_column(0, "a", pa.array(["?"] * 300))
    with stream(server, table) as playing:
        playing.play(START + DAY_S)
    assert playing.tally.failed == 100
    assert "'a'" in playing.tally.failures[0]


def test_a_server_that_is_gone_ends_the_play(server: Server) -> None:
    """The server is stopped in the middle of the year."""
    with stream(server) as playing:
        playing.play(START + DAY_S)
        server.stop()
        with pytest.raises(ExternalError, match="is it running"):
            playing.play(START + 2 * DAY_S)


def test_checkpoints_follow_the_pace_and_end_at_the_end(server: Server) -> None:
    """The caller looks every twelve hours at first, then daily."""
    with stream(server) as playing:
        stops = list(play_steps(playing, START, START + 2.7 * DAY_S, lambda now: DAY_S / 2 if now == START else DAY_S))
    assert stops == [START + days * DAY_S for days in (0.5, 1.5, 2.5, 2.7)]
    assert playing.tally.requests == 270


def test_a_fixed_label_delay_needs_no_column(server: Server) -> None:
    """Labels always come a day later."""
    columns = Columns("at", "y", ("a", "b", "c", "d"), label_delay_s=DAY_S)
    with stream(server, columns=columns) as playing:
        playing.play(START + DAY_S)
        assert playing.tally.labels == 0
        playing.play(START + 2 * DAY_S)
        assert playing.tally.labels == 100


def test_what_is_wrong_with_the_history_is_said_before_anything_is_sent(server: Server) -> None:
    """A misspelt column; a row without its time; an address that is none."""
    with pytest.raises(DataError, match="no column users"):
        stream(server, columns=Columns("at", "y", ("a",), entity="users"))
    gap = history().set_column(history().column_names.index("known"), "known", pa.nulls(300, pa.timestamp("us")))
    with pytest.raises(DataError, match="'known' of the history is missing in 300 rows"):
        stream(server, gap)
    with pytest.raises(DataError, match="must hold times"):
        stream(server, columns=Columns("user", "y", ("a",)))
    with pytest.raises(UserError, match="http://host:port"):
        Stream(history(), COLUMNS, "localhost:8080", "plain")


@given(
    st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    st.lists(st.none() | st.text(), min_size=1),
    st.lists(st.none() | st.booleans(), min_size=1),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1),
)
def test_values_arrive_as_they_were(
    floats: list[Any], texts: list[Any], booleans: list[Any], integers: list[Any]
) -> None:
    """Whatever stands in a column stands in the request, missing values as null."""
    for values, kind, datatype in (
        (floats, pa.float64(), "FP64"),
        (texts, pa.string(), "BYTES"),
        (booleans, pa.bool_(), "BOOL"),
        (integers, pa.int64(), "INT64"),
    ):
        sent = [json.loads(text) for text in _fragments("x", pa.chunked_array([values], kind))]
        assert [tensor["data"] for tensor in sent] == [[value] for value in values]
        assert {(tensor["name"], tensor["datatype"], tuple(tensor["shape"])) for tensor in sent} == {
            ("x", datatype, (1,))
        }


def test_settled_counts_rows_and_labels() -> None:
    """A row that waits, a label that waits, or a shadow row that waits: not settled."""

    def status(rows: int, labels: int, written: int, shadow: int = 0, lost: int = 0) -> dict[str, Any]:
        return {
            "counters": {
                "arms": [{"rows": rows}, {"rows": 0}],
                "labels": {"accepted": labels, "conflicting": 0},
                "shadow_waiting": shadow,
            },
            "log": {"written": written, "dropped": 0, "lost": lost},
        }

    assert settled(status(5, 3, 8))
    assert settled(status(5, 3, 7, lost=1))
    assert not settled(status(5, 3, 7))
    assert not settled(status(5, 3, 8, shadow=1))

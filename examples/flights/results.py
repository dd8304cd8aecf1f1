"""What the run really did, measured from its log, its journal and its training snapshots."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import world

from trimtab.controller.queries import history
from trimtab.core.domain.journal import Entry, Query
from trimtab.core.domain.times import iso
from trimtab.logs import first_labels
from trimtab.replay.stream import Tally
from trimtab.serving.runtimes.loading import load
from trimtab.wiring import Workspace

DAY_S = 86400.0
WEEK_S = 7 * DAY_S
EPS = 1e-15


@dataclass
class Played:
    """What the player counted."""

    tally: Tally = field(default_factory=Tally)
    restarts: int = 0
    """Of the model server."""
    seconds: float = 0.0
    """Of the whole run."""
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds by what they were spent on."""
    released_at: float | None = None
    """Event time of the colleague's release; None when it did not come to it."""

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the time of a piece of work to ``spent``."""
        started = time.perf_counter()
        yield
        self.spent[what] = self.spent.get(what, 0.0) + time.perf_counter() - started


@dataclass(frozen=True)
class Labelled:
    """The answered and labelled predictions, oldest first, and what version 1 says of the same rows."""

    at: np.ndarray
    late: np.ndarray
    """0 or 1."""
    version: np.ndarray
    """That answered."""
    served: np.ndarray
    """Its probability of late."""
    first: np.ndarray
    """Version 1's probability of late, from its own package and runtime."""


def log_loss(late: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Log loss of each row, natural logarithm."""
    p = np.clip(p, EPS, 1 - EPS)
    return -np.where(late == 1, np.log(p), np.log1p(-p))


def quality(late: np.ndarray, p: np.ndarray) -> float:
    """1 - log loss / log loss of the base rate: 0 knows nothing but the rate, 1 knows all."""
    rate = np.full(len(late), late.mean())
    return float(1.0 - log_loss(late, p).mean() / log_loss(late, rate).mean())


def read_log(desk: Workspace) -> tuple[pa.Table, pa.Table]:
    """All predictions and the first label of each."""
    cursor: frozenset[str] = frozenset()
    predictions, labels = [], []
    while True:
        piece = desk.reader.read(cursor, limit=1000)
        if piece.cursor == cursor:
            break
        cursor = piece.cursor
        predictions += [piece.predictions] if piece.predictions.num_rows else []
        labels += [piece.labels] if piece.labels.num_rows else []
    return (
        pa.concat_tables(predictions, promote_options="permissive"),
        first_labels(pa.concat_tables(labels, promote_options="permissive"))[0],
    )


def labelled_rows(desk: Workspace, predictions: pa.Table, labels: pa.Table) -> Labelled:
    """Join answers and labels, and let version 1 score the same rows."""
    answered = predictions.filter(pc.and_(pc.invert(predictions["shadow"]), pc.is_null(predictions["error"])))
    place = pc.index_in(answered["prediction_id"], value_set=labels["prediction_id"].combine_chunks())
    answered = answered.filter(pc.is_valid(place))
    late = labels["label"].take(place.drop_null())
    order = np.argsort(_seconds(answered["event_time"]), kind="stable")
    answered, late = answered.take(pa.array(order)), late.take(pa.array(order))
    return Labelled(
        at=_seconds(answered["event_time"]),
        late=pc.equal(late.cast(pa.string()), "true").to_numpy(zero_copy_only=False).astype(np.int64),
        version=answered["version"].to_numpy(),
        served=answered["y.score.true"].to_numpy(),
        first=first_version(desk, answered),
    )


def first_version(desk: Workspace, rows: pa.Table) -> np.ndarray:
    """The probability of late that version 1's package gives, by the server's own runtime."""
    folder = desk.state / "first-version"
    if not folder.exists():
        desk.registry.fetch(1, folder)
    model = load(folder)
    columns: dict[str, np.ndarray] = {}
    for spec in model.signature.inputs:
        column = rows[f"x.{spec.name}"]
        kept = column.to_pandas().to_numpy(dtype=object) if spec.type == "string" else _numbers(column)
        columns[spec.name] = kept
    scores = model.predict(columns).scores
    assert scores is not None
    return scores[:, list(model.signature.classes or ()).index(True)]


def trained_rows(desk: Workspace, windows: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """For each training snapshot on disk: its rows, those in a quarantined window, those that the fault had emptied."""
    found = []
    for folder in sorted(path for path in (desk.root / "data" / "snapshots").iterdir() if path.is_dir()):
        table = pa.concat_tables(
            [
                pq.ParquetFile(path).read(columns=["departed_at", world.FAULT_COLUMN])
                for path in folder.glob("*.parquet")
            ]
        )
        at = _seconds(table["departed_at"])
        inside = sum(int(((at >= since) & (at < until)).sum()) for since, until in windows)
        empty = np.isnan(_numbers(table[world.FAULT_COLUMN])) & (at >= world.FAULT_FROM) & (at < world.FAULT_UNTIL)
        found.append({"job": folder.name, "rows": len(at), "quarantined": inside, "broken": int(empty.sum())})
    return found


def quarantined_windows(entries: list[Entry]) -> list[tuple[float, float]]:
    """Event times that the journal says must not be trained on; an open one lasts for ever."""
    windows: dict[str, tuple[float, float]] = {}
    for entry in entries:
        for action in entry.actions:
            if action["type"] == "OpenIncident" and action["kind"] in ("data-fault", "label-fault"):
                windows[action["incident"]] = (action["since"], float("inf"))
            if action["type"] == "CloseIncident" and action["incident"] in windows:
                windows[action["incident"]] = (windows[action["incident"]][0], action["until"])
    return list(windows.values())


def summarise(desk: Workspace, played: Played) -> dict[str, Any]:
    """Everything that is shown at the end, as plain JSON."""
    predictions, labels = read_log(desk)
    rows = labelled_rows(desk, predictions, labels)
    entries = desk.journal.read()
    actions = [(entry, action) for entry in entries for action in entry.actions]
    windows = quarantined_windows(entries)
    trained = trained_rows(desk, windows)
    bad = bad_version(actions)
    tally = played.tally
    return {
        "retrains_promoted": len(retrained(actions)),
        "data_fault_diagnosed": any(is_the_fault(action) for _, action in actions),
        "trained_on_quarantined": any(each["quarantined"] or each["broken"] for each in trained),
        "bad_version_aborted": any(a["type"] == "Abort" and a["version"] == bad for _, a in actions),
        "failed_requests": tally.failed,
        "quality_with_loop": quality(rows.late, rows.served),
        "quality_without_loop": quality(rows.late, rows.first),
        "requests": tally.requests,
        "seconds": round(played.seconds, 1),
        "decisions": decisions(desk),
        "spent": {what: round(seconds, 1) for what, seconds in played.spent.items()},
        "labels": tally.labels,
        "labelled": len(rows.at),
        "failures": tally.failures,
        "server_restarts": played.restarts,
        "requests_per_second": round(tally.requests / tally.seconds, 1) if tally.seconds else 0.0,
        "log_loss_with_loop": float(log_loss(rows.late, rows.served).mean()),
        "log_loss_without_loop": float(log_loss(rows.late, rows.first).mean()),
        "base_rate": float(rows.late.mean()),
        "weeks": weeks(rows),
        "traffic": traffic(predictions),
        "versions": versions(desk, actions),
        "rollouts": rollouts(actions),
        "incidents": incidents(actions),
        "trained": trained,
        "bad_version": compare(predictions, labels, bad, actions),
        "outside": {
            "fault": {"column": world.FAULT_COLUMN, "from": world.FAULT_FROM, "until": world.FAULT_UNTIL},
            "release": {"at": played.released_at, "feature": world.NEW_FEATURE, "online_value": world.UNFILLED},
        },
    }


Actions = list[tuple[Entry, dict[str, Any]]]


def retrained(actions: Actions) -> list[int]:
    """Promoted versions that the loop itself had trained."""
    ours = {a["version"] for _, a in actions if a["type"] == "FinishTraining" and a["version"] is not None}
    return [a["version"] for _, a in actions if a["type"] == "Promote" and a["version"] in ours]


def is_the_fault(action: dict[str, Any]) -> bool:
    """Whether an action says that the column that was broken is broken, from the right time on."""
    return (
        action["type"] == "OpenIncident"
        and action["kind"] == "data-fault"
        and world.FAULT_COLUMN in action["features"]
        and abs(action["since"] - world.FAULT_FROM) <= 2 * DAY_S
    )


def bad_version(actions: Actions) -> int | None:
    """The version of the colleague's release: the one recorded by a person after the first."""
    by_hand = [a["record"]["version"] for e, a in actions if a["type"] == "RecordVersion" and e.actor != "controller"]
    return by_hand[1] if len(by_hand) > 1 else None


def decisions(desk: Workspace) -> list[dict[str, Any]]:
    return [
        {
            "id": line.seq,
            "at": iso(line.at),
            "actor": line.actor,
            "what": line.what,
            "why": line.why,
            "cause": line.cause,
        }
        for line in history(desk, Query())
    ]


def weeks(rows: Labelled) -> list[dict[str, Any]]:
    """By week since version 1 went live: rows, share of late flights, log loss with and without the loop."""
    number = ((rows.at - world.HISTORY_UNTIL) // WEEK_S).astype(int)
    with_loop, without = log_loss(rows.late, rows.served), log_loss(rows.late, rows.first)
    return [
        {
            "start": world.HISTORY_UNTIL + week * WEEK_S,
            "rows": int(here.sum()),
            "late": float(rows.late[here].mean()),
            "with_loop": float(with_loop[here].mean()),
            "without_loop": float(without[here].mean()),
        }
        for week in np.unique(number)
        if (here := number == week).any()
    ]


def traffic(predictions: pa.Table) -> list[dict[str, Any]]:
    """Answered requests of each day by version."""
    answered = predictions.filter(pc.invert(predictions["shadow"]))
    days = (_seconds(answered["event_time"]) // DAY_S).astype(int)
    version = answered["version"].to_numpy()
    out = []
    for each in np.unique(days):
        names, counts = np.unique(version[days == each], return_counts=True)
        shares = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
        out.append({"day": float(each * DAY_S), "answered": shares})
    return out


def versions(desk: Workspace, actions: Actions) -> list[dict[str, Any]]:
    """What became of each version."""
    promoted = {a["version"]: e.at for e, a in actions if a["type"] in ("Promote", "DeployFirst", "RollBack")}
    aborted = {a["version"]: e.at for e, a in actions if a["type"] == "Abort"}
    out = []
    for record in desk.registry.versions():
        if record.version in promoted:
            fate = f"promoted {iso(promoted[record.version])[:10]}" if record.version > 1 else "the first"
        elif record.version in aborted:
            fate = f"aborted {iso(aborted[record.version])[:10]}"
        else:
            fate = "rejected by its gates" if not record.deployable else "waits"
        out.append(
            {
                "version": record.version,
                "created_at": record.created_at,
                "trained_until": record.trained_until,
                "gates": record.verdict.value,
                "gate": record.gates[0].text,
                "runtime": record.runtime,
                "fate": fate,
            }
        )
    return out


def rollouts(actions: Actions) -> list[dict[str, Any]]:
    """Each rollout with its steps and how it ended."""
    out: dict[str, dict[str, Any]] = {}
    for entry, action in actions:
        name = action.get("rollout")
        if action["type"] == "StartRollout":
            out[name] = {
                "rollout": name, "version": action["version"], "champion": action["champion"],
                "started": entry.at, "steps": [], "ended": None, "verdict": "under way", "why": "",
            }  # fmt: skip
        elif action["type"] == "EnterStep":
            out[name]["steps"].append({"at": entry.at, "weight": action["weight"]})
        elif action["type"] in ("Promote", "Abort"):
            verdict = "promoted" if action["type"] == "Promote" else "aborted"
            out[name] |= {"ended": entry.at, "verdict": verdict, "why": deciding(entry)}
    return list(out.values())


def deciding(entry: Entry) -> str:
    """The figure of the primary metric where the decision looked at one, else its first reason."""
    metrics = entry.evidence.get("metrics", [])
    if any(action["type"] in ("Abort", "PauseRollout") for action in entry.actions):
        metrics = [metric for metric in metrics if metric["verdict"] == "failed"]
    primary = [metric for metric in metrics if metric["role"] == "primary"] or metrics
    if primary:
        return str(primary[0]["text"])
    return str(entry.reasons[0]["text"]) if entry.reasons else ""


def incidents(actions: Actions) -> list[dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for entry, action in actions:
        if action["type"] == "OpenIncident":
            out[action["incident"]] = {
                "incident": action["incident"], "kind": action["kind"], "severity": action["severity"],
                "features": list(action["features"]), "since": action["since"], "opened": entry.at, "until": None,
                "text": action["text"],
            }  # fmt: skip
        elif action["type"] == "CloseIncident":
            out[action["incident"]]["until"] = action["until"]
    return list(out.values())


def compare(predictions: pa.Table, labels: pa.Table, version: int | None, actions: Actions) -> dict[str, Any] | None:
    """The bad version and its champion on the same live rows, both scored in production: paired Brier scores."""
    started = [a for _, a in actions if a["type"] == "StartRollout" and a["version"] == version]
    if not started:
        return None
    truth = dict(zip(labels["prediction_id"].to_pylist(), labels["label"].to_pylist(), strict=True))
    scored = {
        which: _scores(predictions.filter(pc.equal(predictions["version"], which)))
        for which in (version, started[0]["champion"])
    }
    both = [i for i in scored[version] if i in scored[started[0]["champion"]] and i in truth]
    late = np.array([str(truth[i]).lower() == "true" for i in both], dtype=float)
    ours = np.array([scored[version][i] for i in both])
    theirs = np.array([scored[started[0]["champion"]][i] for i in both])
    return {
        "version": version,
        "champion": started[0]["champion"],
        "rows": len(both),
        "brier": float(((ours - late) ** 2).mean()) if both else None,
        "champion_brier": float(((theirs - late) ** 2).mean()) if both else None,
    }


def _scores(rows: pa.Table) -> dict[str, float]:
    return dict(zip(rows["prediction_id"].to_pylist(), rows["y.score.true"].to_pylist(), strict=True))


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(), dtype=np.float64) / 1e6


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


CHECKS = {
    "at least one retrained version was promoted": lambda s: s["retrains_promoted"] >= 1,
    "the data fault was recognised": lambda s: s["data_fault_diagnosed"],
    "nothing was trained on quarantined rows": lambda s: not s["trained_on_quarantined"],
    "the bad version was aborted": lambda s: s["bad_version_aborted"],
    "no request failed": lambda s: s["failed_requests"] == 0,
    "the loop was worth it": lambda s: s["quality_with_loop"] > s["quality_without_loop"],
}


def missed(summary: dict[str, Any]) -> list[str]:
    """What did not happen as the story has it."""
    return [words for words, holds in CHECKS.items() if not holds(summary)]


def write(summary: dict[str, Any], path: Path) -> None:
    """The summary as JSON, whole or not at all."""
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)

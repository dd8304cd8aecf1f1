"""What two registered versions differ in: data, code, config, environment, metrics, gates, predictions."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from trimtab.core.domain.errors import TrimtabError
from trimtab.core.domain.times import iso
from trimtab.ports import DataVersion
from trimtab.training.again import compare
from trimtab.training.history import row_hashes
from trimtab.training.read import read_file, seconds
from trimtab.training.rebuild import pins
from trimtab.training.reproduce import flat

if TYPE_CHECKING:
    from trimtab.core.domain.gate import VersionRecord
    from trimtab.ports import Runs
    from trimtab.training.pipeline import Services

Pair = tuple[str, str, str]
"""(what, of the first, of the second)"""


@dataclass(frozen=True, slots=True)
class Diff:
    """Both versions side by side; only what differs."""

    first: int
    second: int
    data: tuple[Pair, ...]
    code: tuple[Pair, ...]
    patch: str
    """The user's modules from the first to the second, as a unified diff."""
    config: tuple[Pair, ...]
    environment: tuple[Pair, ...]
    metrics: tuple[tuple[str, float | None, float | None], ...]
    gates: tuple[Pair, ...]
    predictions: dict[str, Any]
    """``{"rows", "differing", "largest", "on"}``: both models on the second's evaluation rows; ``{"error"}`` where they
    cannot be asked.
    """


def difference(first: int, second: int, services: Services, runs: Runs, work: Path) -> Diff:
    """Compare two registered versions.

    Args:
        first: a version.
        second: another one.
        services: registry, store and project.
        runs: the files of their runs.
        work: an empty directory.

    Raises:
        NotFoundError: there is no such version, or its run's files are gone.
    """
    records = [services.registry.get(version) for version in (first, second)]
    files = [runs.files(record.run_id, work / f"run-{record.version}") for record in records]
    rows = [_rows(services, record, work / f"rows-{record.version}") for record in records]
    settings = [_settings(folder) for folder in files]
    requirements = [_text(folder / "environment" / "requirements.txt") for folder in files]
    code, patch = _code(records, files)
    return Diff(
        first,
        second,
        data=_data(records, rows),
        code=code,
        patch=patch,
        config=pairs(*({name: json.dumps(value) for name, value in each.items()} for each in settings)),
        environment=pairs(*(pins(text) for text in requirements)),
        metrics=_metrics(*records),
        gates=pairs(*({gate.gate: f"{gate.verdict.value}: {gate.text}" for gate in r.gates} for r in records)),
        predictions=_predictions(services, records, rows[1], work),
    )


def pairs(first: dict[str, str], second: dict[str, str]) -> tuple[Pair, ...]:
    """What stands otherwise in one of the two.

    >>> pairs({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    (('b', '2', '3'), ('c', 'none', '4'))
    """
    names = sorted({*first, *second})
    return tuple((n, first.get(n, "none"), second.get(n, "none")) for n in names if first.get(n) != second.get(n))


def _rows(services: Services, record: VersionRecord, to: Path) -> pa.Table | str:
    """The rows of a run; why they cannot be had."""
    try:
        services.store.restore(DataVersion(record.data_version, 0, 0, ""), to)
        return pa.concat_tables(
            [read_file(path, path.name) for path in sorted(to.glob("*.parquet"))], promote_options="permissive"
        )
    except TrimtabError as error:
        return str(error)


def _data(records: list[VersionRecord], rows: list[pa.Table | str]) -> tuple[Pair, ...]:
    told = []
    for record, table in zip(records, rows, strict=True):
        start, end = record.trained_from, record.trained_until
        facts = {
            "version": record.data_version,
            "trained from": iso(start) if start is not None else "unknown",
            "trained until": iso(end) if end is not None else "unknown",
            "strategy": record.strategy,
        }
        if isinstance(table, str):
            facts["rows"] = table
        else:
            facts |= {"rows": f"{table.num_rows:,}", "columns": ", ".join(table.column_names)}
        told.append(facts)
    found = pairs(*told)
    first, second = rows
    if isinstance(first, str) or isinstance(second, str) or not found:
        return found
    common = [name for name in first.column_names if name in second.column_names]
    a, b = (set(row_hashes(table.select(common)).tolist()) for table in (first, second))
    return (*found, ("rows that only one has", f"{len(a - b):,}", f"{len(b - a):,}"))


def _code(records: list[VersionRecord], files: list[Path]) -> tuple[tuple[Pair, ...], str]:
    commits = [
        {"commit": (r.git_commit or "none") + (" with uncommitted changes" if r.git_dirty else "")} for r in records
    ]
    modules = [_modules(folder / "code" / "files") for folder in files]
    found = list(pairs(*commits))
    patch: list[str] = []
    for name in sorted({*modules[0], *modules[1]}):
        old, new = (each.get(name, "") for each in modules)
        if old != new:
            lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm="", n=2))
            changed = [line for line in lines[2:] if line[:1] in "+-"]
            minus = sum(line.startswith("-") for line in changed)
            found.append((name, f"-{minus} lines", f"+{len(changed) - minus} lines"))
            patch += lines
    return tuple(found), "\n".join(patch)


def _modules(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): _text(path) for path in sorted(folder.rglob("*.py"))}


def _settings(files: Path) -> dict[str, Any]:
    text = _text(files / "config" / "settings.json")
    return flat(json.loads(text)) if text else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _metrics(first: VersionRecord, second: VersionRecord) -> tuple[tuple[str, float | None, float | None], ...]:
    names = sorted({*first.metrics, *second.metrics})
    return tuple((name, first.metrics.get(name), second.metrics.get(name)) for name in names)


def _predictions(services: Services, records: list[VersionRecord], rows: pa.Table | str, work: Path) -> dict[str, Any]:
    """Both packages on the evaluation rows of the second."""
    from trimtab.serving.runtimes import load

    if isinstance(rows, str):
        return {"error": rows}
    second = records[1]
    at = seconds(rows[services.project.data.time], services.project.data.time, "the restored rows", "data.time")
    training = int(np.searchsorted(at, second.trained_until or 0.0, side="right"))
    held_out = rows.slice(training)
    try:
        models = [load(services.registry.fetch(r.version, work / f"package-{r.version}")) for r in records]
        found = compare(models[1], models[0], held_out)
    except TrimtabError as error:
        return {"error": str(error)}
    largest = found["largest"] if found["largest"] < float("inf") else None
    on = f"evaluation rows of version {second.version}"
    return {"rows": held_out.num_rows, "differing": found["differing"], "largest": largest, "on": on}

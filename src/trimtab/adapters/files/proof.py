"""Tries a version of a deployment directory before it gets traffic: loading, checks and scoring are a server's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import TrimtabError
from trimtab.core.domain.proof import Proof

if TYPE_CHECKING:
    import pyarrow as pa

    from trimtab.serving.runtimes import Model

INPUT = "x."
FAILING_MAX = 0.05
"""A version fits while at most this share of recent requests cannot be answered by it: single odd requests are no
schema."""


def prove_version(place: Path, version: int, recent: pa.Table | None) -> Proof:
    """Load, verify and prove the package at ``place``, then let it answer what recent requests carried.

    Args:
        place: the package's folder.
        version: its number.
        recent: answered rows of the prediction log (``LogReader.recent``); None or empty where none were seen.
    """
    if not place.is_dir():
        return Proof(version, False, f"{place} is not there")
    from trimtab.serving.runtimes import load

    try:
        model = load(place)
    except TrimtabError as error:
        return Proof(version, False, str(error))
    except Exception as error:  # noqa: BLE001  a foreign loader may raise anything: then it does not load
        return Proof(version, False, f"cannot be loaded: {type(error).__name__}: {error}")
    loads = "loads, is what its manifest says, gives its recorded answers"
    if recent is None or not recent.num_rows:
        return Proof(version, True, f"{loads}; no recent requests were seen, so today's inputs were not tried")
    carried = _carried(recent)
    failures = _failures(model, carried, recent.num_rows)
    count = recent.num_rows
    if len(failures) > FAILING_MAX * count:
        return Proof(version, False, f"cannot answer {len(failures)} of {count} recent requests: {failures[0]}", count)
    answered = f"{count - len(failures)} of {count}" if failures else str(count)
    absent = [name for name in model.signature.names if name not in carried]
    missing = f"; none of them carried {', '.join(absent)}, which it can do without" if absent else ""
    return Proof(version, True, f"{loads}, and answers {answered} recent requests{missing}", count)


def _carried(recent: pa.Table) -> dict[str, list[Any]]:
    """Inputs that any of the requests carried."""
    return {
        name.removeprefix(INPUT): recent.column(name).to_pylist()
        for name in recent.column_names
        if name.startswith(INPUT) and recent.column(name).null_count < recent.num_rows
    }


def _failures(model: Model, carried: dict[str, list[Any]], count: int) -> list[str]:
    """Why requests could not be answered, one text each."""
    if _failure(model, carried, count) is None:
        return []
    rows = ({name: [values[i]] for name, values in carried.items()} for i in range(count))
    return [why for row in rows if (why := _failure(model, row, 1)) is not None]


def _failure(model: Model, named: dict[str, list[Any]], count: int) -> str | None:
    from trimtab.serving.protocols.inputs import Inputs, columns_of

    try:
        model.predict(columns_of(Inputs(rows=count, named=dict(named)), model.signature))
    except TrimtabError as error:
        return str(error)
    return None

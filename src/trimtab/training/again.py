"""A recorded run fitted once more, in a process of its own: ``python -m trimtab.training.again ORDER.json``.

The process runs where the recorded environment is. It reads the restored rows, builds the estimator from the restored
code, fits and packages it as ``pipeline`` does, and compares with the registered package on the evaluation rows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from trimtab.core.domain.errors import TrimtabError
from trimtab.training.evaluate import encoded, model_columns
from trimtab.training.files import write_bytes
from trimtab.training.fit import class_values, features_frame, few_threads, target_array
from trimtab.training.making import make
from trimtab.training.parents import FolderParents, record_of
from trimtab.training.prepared import Prepared, positive_of
from trimtab.training.provenance import environment
from trimtab.training.read import read_file, seconds
from trimtab.training.rebuild import pins
from trimtab.training.spec import TrainSpec, from_json

if TYPE_CHECKING:
    from trimtab.project.settings import Project

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """0 when the order's ``result`` was written, whatever it says."""
    words = list(sys.argv[1:] if argv is None else argv)
    order = json.loads(Path(words[0]).read_bytes())
    try:
        result = again(order)
    except TrimtabError as error:
        result = {"error": str(error)}
    write_bytes(Path(order["result"]), json.dumps(result).encode())
    return 0


def again(order: dict[str, Any]) -> dict[str, Any]:
    """Fit, package and compare.

    Args:
        order: ``root`` (the restored project), ``rows`` (folder of the restored rows), ``project`` (project file),
            ``spec``, ``features``, ``trained_until``, ``registered`` (package), ``scratch``, ``parents`` (records of
            the versions that it goes on from) and ``parents_folder`` (their packages and estimators).

    Returns:
        ``{"rows", "training", "equal", "largest", "differing", "files": {name: same}, "digest", "error": None}``.
    """
    from trimtab.project.load import load as load_project
    from trimtab.serving.package import MANIFEST, REQUIREMENTS
    from trimtab.serving.runtimes import load

    root, scratch = Path(order["root"]), Path(order["scratch"])
    project = load_project(Path(order["project"]))
    prepared = restored(
        project, Path(order["rows"]), order["features"], order["trained_until"], from_json(order["spec"])
    )
    registered = Path(order["registered"])
    recorded = (registered / REQUIREMENTS).read_text(encoding="utf-8")
    here = pins(environment())
    if any(here.get(name) != version for name, version in pins(recorded).items()):
        recorded = environment()
    parents = FolderParents({r.version: r for r in map(record_of, order["parents"])}, Path(order["parents_folder"]))
    made = make(project, root, prepared, parents)
    with few_threads():
        result = made.package(scratch / "package", made.baseline(), recorded)
    rows = prepared.table.slice(prepared.training)
    found = compare(load(scratch / "package"), load(registered), rows)
    old, new = (json.loads((path / MANIFEST).read_bytes())["files"] for path in (registered, scratch / "package"))
    files = {name: old.get(name) == new.get(name) for name in sorted({*old, *new})}
    counts = {"rows": rows.num_rows, "training": prepared.training}
    return counts | found | {"files": files, "digest": result.digest, "error": None}


def compare(new: Any, old: Any, rows: pa.Table) -> dict[str, Any]:
    """Both models' answers on the same rows: are they identical, how many differ, and by how much."""
    ours, theirs = (model.predict(model_columns(model.signature.inputs, rows)[0]) for model in (new, old))
    pairs = [(np.asarray(ours.prediction), np.asarray(theirs.prediction))]
    if ours.scores is not None and theirs.scores is not None:
        pairs.append((np.asarray(ours.scores), np.asarray(theirs.scores)))
    differing, largest = np.zeros(rows.num_rows, bool), 0.0
    for a, b in pairs:
        if a.shape != b.shape:
            return {"equal": False, "differing": rows.num_rows, "largest": float("inf")}
        same = (a == b) | ((a != a) & (b != b))
        differing |= ~(same if same.ndim == 1 else same.all(axis=1))
        if a.dtype.kind == "f" and a.size:
            largest = max(largest, float(np.nanmax(np.abs(a - b))))
    return {"equal": not differing.any(), "differing": int(differing.sum()), "largest": largest}


def restored(project: Project, folder: Path, features: list[str], trained_until: float, spec: TrainSpec) -> Prepared:
    """The restored rows in ``folder`` as ``prepare`` gave them."""
    files = sorted(folder.glob("*.parquet"))
    table = pa.concat_tables([read_file(path, path.name) for path in files]).combine_chunks()
    features = [each for each in features if each in table.column_names]  # a blend may take what is no more
    name = project.data.target
    target = target_array(table, name)
    classes = tuple(class_values(table, name)) if project.task == "classification" else None
    at = seconds(table[project.data.time], project.data.time, "the restored rows", "data.time")
    training = int(np.searchsorted(at, trained_until, side="right"))
    rows = {"training": training, "evaluation": len(at) - training}
    return Prepared(
        table=table,
        features=tuple(features),
        frame=features_frame(table, features),
        target=target,
        truth=target.astype(np.float64) if classes is None else encoded(target, classes),
        at=at,
        classes=classes,
        positive=positive_of(project, target[:training], classes),
        training=training,
        rows=rows,
        spec=spec,
    )


if __name__ == "__main__":
    sys.exit(main())

"""A package as an MLflow model: ``mlflow.pyfunc.load_model("models:/<name>@champion")``, and its schema in the UI.

MLmodel  requirements.txt  python_env.yaml  conda.yaml  input_example.json
package/     the sealed package, unchanged
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from trimtab.core.domain.gate import VersionRecord
from trimtab.serving.package import EXAMPLE, REQUIREMENTS, InputSpec, Signature, read_example

PACKAGE = "package"
LOADER = "trimtab.adapters.mlflow.pyfunc"

_TYPES = {"float64": "double", "int64": "long", "bool": "boolean", "string": "string", "datetime": "datetime"}
_EXAMPLE_ROWS = 5


def write_model(
    home: Path, package: Path, signature: Signature, record: VersionRecord, run_id: str, model_id: str
) -> Path:
    """Lay out the model's directory at ``home``, with hard links to the package where possible; returns ``home``."""
    shutil.copytree(package, home / PACKAGE, copy_function=_link)
    requirements = _requirements(package)
    (home / "requirements.txt").write_text(requirements)
    python = platform.python_version()
    environment = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    conda = {"name": "trimtab", "dependencies": [f"python={python}", "pip", {"pip": ["-r requirements.txt"]}]}
    _dump(home / "python_env.yaml", environment)
    _dump(home / "conda.yaml", conda)
    document = {
        "flavors": {
            "python_function": {
                "loader_module": LOADER,
                "data": PACKAGE,
                "python_version": python,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            },
            "trimtab": {"digest": record.manifest, "runtime": signature.runtime.name, "format": signature.format},
        },
        "mlflow_version": metadata.version("mlflow-skinny"),
        "model_id": model_id,
        "model_uuid": model_id,
        "run_id": run_id,
        "model_size_bytes": sum(path.stat().st_size for path in package.rglob("*") if path.is_file()),
        "signature": _schema(signature),
        "utc_time_created": datetime.fromtimestamp(record.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        **_example(home, package, signature),
    }
    _dump(home / "MLmodel", document)
    return home


def _schema(signature: Signature) -> dict[str, Any]:
    """The model's schema: JSON texts, as MLflow keeps them."""
    inputs = [{"type": _type(spec), "name": spec.name, "required": not spec.nullable} for spec in signature.inputs]
    kind = "double"
    if signature.classes is not None:
        first = signature.classes[0]
        kind = {bool: "boolean", int: "long", float: "double", str: "string"}[type(first)]
    output = {"type": "tensor", "tensor-spec": {"dtype": _NUMPY[kind], "shape": [-1]}}
    scores = {"name": "scores", "type": "boolean", "default": False, "shape": None}
    return {"inputs": json.dumps(inputs), "outputs": json.dumps([output]), "params": json.dumps([scores])}


_NUMPY = {"boolean": "bool", "long": "int64", "double": "float64", "string": "object"}


def _type(spec: InputSpec) -> str:
    """MLflow's type; whole numbers and booleans that may be missing reach a frame as doubles."""
    return "double" if spec.nullable and spec.type in ("int64", "bool") else _TYPES[spec.type]


def _example(home: Path, package: Path, signature: Signature) -> dict[str, Any]:
    if not (package / EXAMPLE).exists():
        return {}
    rows = read_example(package).inputs[:_EXAMPLE_ROWS]
    names = list(signature.names)
    split = {"columns": names, "data": [[row.get(name) for name in names] for row in rows]}
    (home / "input_example.json").write_text(json.dumps(split))
    (home / "serving_input_example.json").write_text(json.dumps({"dataframe_split": split}))
    return {
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "serving_input_path": "serving_input_example.json",
            "type": "dataframe",
            "pandas_orient": "split",
        }
    }


def _requirements(package: Path) -> str:
    """The package's requirements, with Trimtab itself, which loads it."""
    path = package / REQUIREMENTS
    lines = path.read_text().splitlines() if path.exists() else []
    if not any(line.replace(" ", "").lower().startswith(("trimtab=", "trimtab@", "trimtab[")) for line in lines):
        lines.append(f"trimtab=={metadata.version('trimtab')}")
    return "\n".join(lines) + "\n"


def _dump(path: Path, document: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    writer = YAML()
    writer.default_flow_style = False
    writer.width = 10_000
    with path.open("w") as file:
        writer.dump(document, file)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)

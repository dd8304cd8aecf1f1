"""``trimtab reproduce``: a registered version trained again from its record, and the result proved equal.

    data          restored from the store by the digest in the record
    code          the recorded modules, or the recorded commit with its uncommitted changes
    config        the recorded project file
    environment   this one where its versions are those of the record, else rebuilt from it

What the project has now is compared with the record too, so that whatever changed since is named.
"""

from __future__ import annotations

import filecmp
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import ExternalError, NotFoundError, TrimtabError
from trimtab.ports import DataVersion
from trimtab.serving.package import read_signature
from trimtab.training import rebuild
from trimtab.training.files import write_bytes
from trimtab.training.parents import RegistryParents
from trimtab.training.provenance import environment
from trimtab.training.snapshot import FOLDER
from trimtab.training.sources import file_md5, source_digests

if TYPE_CHECKING:
    from trimtab.core.domain.gate import VersionRecord
    from trimtab.ports import Runs
    from trimtab.training.pipeline import Services

AGAIN_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was recorded."""

    kind: str
    """``data``, ``code``, ``config`` or ``environment``."""
    name: str
    recorded: str
    found: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}: recorded {self.recorded}, now {self.found}"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of training a version again."""

    version: int
    equal: bool
    """Identical answers on every evaluation row."""
    manifest_equal: bool
    """Every file of the package, to the byte."""
    rows: int
    """Evaluation rows compared."""
    training: int
    differing: int
    largest: float | None
    files: tuple[str, ...]
    """Of the package, that are not the same bytes."""
    differences: tuple[Difference, ...]
    """Between the record and what the project has now."""
    code: str
    """Where the code came from."""
    where: str
    """The environment it was trained in."""

    @property
    def text(self) -> str:
        """The result in a sentence."""
        if not self.equal:
            by = "" if self.largest is None else f", by at most {self.largest:.3g}"
            return f"NOT reproduced: {self.differing:,} of {self.rows:,} evaluation rows are answered otherwise{by}"
        manifest = "the package is the same to the byte" if self.manifest_equal else "the package differs in "
        return f"reproduced: identical answers on all {self.rows:,} evaluation rows; {manifest}{', '.join(self.files)}"


def reproduce(
    version: int,
    services: Services,
    runs: Runs,
    work: Path,
    *,
    rebuild_environment: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Reproduction:
    """Train a version again from its record.

    Args:
        version: a registered one.
        services: registry, store, project and code of today.
        runs: the files of its run.
        work: an empty directory; everything is restored and made there.
        rebuild_environment: make the recorded environment where this one differs; else train in this one and say so.
        progress: gets a line per step.

    Raises:
        NotFoundError: no such version; or its data, settings or code are kept nowhere any more.
        IntegrityError: the stored data are not what was recorded; the file is named.
        ExternalError: the environment cannot be rebuilt, or training fails.
    """
    progress(f"reading the record of version {version}")
    record = services.registry.get(version)
    registered = services.registry.fetch(version, work / "registered")
    files = runs.files(record.run_id, work / "run")
    spec = _json(files / "config" / "spec.json")
    root = work / "root"
    progress(f"restoring data {record.data_version}")
    rows = _restore(services, record, spec["job"], root)
    code = restore_code(services, record, files, root)
    progress(f"code: {code}")
    project_file = _project_file(files, root)
    differences = [
        *_data_differences(services, spec["job"], rows, files),
        *code_differences(services, root, files),
        *_config_differences(services, files),
        *environment_differences((registered / "requirements.txt").read_text()),
    ]
    others = [each for each in differences if each.kind == "environment"]
    python, where = Path(sys.executable), "this environment"
    if others and rebuild_environment:
        progress(f"rebuilding the environment: {len(others)} packages differ")
        python = rebuild.environment(
            (registered / "requirements.txt").read_text(), services.root / ".trimtab" / "environments", progress
        )
        where = "the recorded environment, rebuilt"
    elif others:
        where = "this environment, which is not the recorded one"
    parents = _fetch_parents(spec, services, runs, work / "parents")
    order = {
        "root": str(root),
        "rows": str(rows),
        "project": str(project_file),
        "spec": spec,
        "features": [each.name for each in read_signature(registered).inputs],
        "trained_until": record.trained_until,
        "registered": str(registered),
        "parents": parents,
        "parents_folder": str(work / "parents"),
        "scratch": str(work),
        "result": str(work / "result.json"),
    }
    progress(f"training again in {where}")
    result = _train(python, order, work)
    same = result["files"]
    return Reproduction(
        version=version,
        equal=bool(result["equal"]),
        manifest_equal=all(same.values()),
        rows=result["rows"],
        training=result["training"],
        differing=result["differing"],
        largest=result["largest"] if result["largest"] < float("inf") else None,
        files=tuple(name for name, equal in same.items() if not equal),
        differences=tuple(differences),
        code=code,
        where=where,
    )


def _fetch_parents(spec: dict[str, Any], services: Services, runs: Runs, folder: Path) -> list[dict[str, Any]]:
    """The versions that the run went on from: their packages and kept estimators are a part of its record.

    Returns:
        Their records, plain.

    Raises:
        NotFoundError: one is kept no more.
        IntegrityError: one is not what was recorded.
    """
    found = RegistryParents(services.registry, runs, folder)
    records = []
    for version in [*spec.get("members", ()), *([spec["parent"]] if spec.get("parent") is not None else [])]:
        record = found.record(version)
        found.package(version)
        if spec["strategy"] == "incremental" and record.estimator is not None:
            found.estimator_folder(record)
        records.append(asdict(record))
    return records


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise NotFoundError(f"the run's record has no readable {path.parent.name}/{path.name}: {error}") from error


def _restore(services: Services, record: VersionRecord, job: str, root: Path) -> Path:
    """The rows of the run, from the store, verified; named by their folder where they are damaged."""
    folder = root / FOLDER / job
    version = DataVersion(record.data_version, 0, 0, "")
    try:
        services.store.restore(version, folder)
    except TrimtabError as error:
        here = services.root / FOLDER / job
        named = f"the data of version {record.version} ({FOLDER}/{job})"
        raise type(error)(f"{named} cannot be restored: {error}" + _hint(here)) from error
    return folder


def _hint(folder: Path) -> str:
    return f"; {folder} holds a copy: 'dvc add' it to put it back" if folder.is_dir() else ""


def restore_code(services: Services, record: VersionRecord, files: Path, root: Path) -> str:
    """Put the run's code under ``root``: the recorded commit with its changes where git has it, then the recorded
    modules over it. Returns where it came from.
    """
    root.mkdir(parents=True, exist_ok=True)
    kept = files / "code" / "files"
    source = ""
    if record.git_commit is not None and rebuild.checkout(services.root, record.git_commit, root):
        source = f"commit {record.git_commit[:10]}"
        patch = files / "code" / "changes.diff"
        if patch.exists() and rebuild.apply(services.root, patch, root):
            source += " with its uncommitted changes"
    if kept.is_dir():
        shutil.copytree(kept, root, dirs_exist_ok=True)
        return source or "the modules kept with the run"
    if source or services.project.estimator.function is None:
        return source or "none of the project's own"
    for path in services.root.glob("*.py"):
        shutil.copy(path, root / path.name)
    return "today's files: the run kept none"


def _project_file(files: Path, root: Path) -> Path:
    found = sorted((files / "config").glob("*.yaml"))
    if not found:
        raise NotFoundError("the run kept no project file: it was not started by 'trimtab train' or the loop")
    return Path(shutil.copy(found[0], root / "trimtab.yaml"))


def _data_differences(services: Services, job: str, rows: Path, files: Path) -> list[Difference]:
    """Snapshot files and data files that are not what they were."""
    out = []
    here = services.root / FOLDER / job
    if here.is_dir():
        for name in sorted({path.name for folder in (rows, here) for path in folder.glob("*.parquet")}):
            kept, now = rows / name, here / name
            if not (kept.exists() and now.exists()):
                missing = "not there" if kept.exists() else "there"
                out.append(Difference("data", f"{FOLDER}/{job}/{name}", "there" if kept.exists() else "none", missing))
            elif not filecmp.cmp(kept, now, shallow=False):
                out.append(
                    Difference("data", f"{FOLDER}/{job}/{name}", f"md5 {file_md5(kept)}", f"md5 {file_md5(now)}")
                )
    recorded = files / "data" / "sources.json"
    if recorded.exists():
        then, today = _json(recorded), source_digests(services.root, services.project.data.files)
        for name in sorted(then):
            now_md5 = today.get(name) or (file_md5(services.root / name) if (services.root / name).is_file() else None)
            if now_md5 != then[name]:
                found = f"md5 {now_md5}" if now_md5 else "not there"
                out.append(Difference("data", name, f"md5 {then[name]}", found))
    return out


def code_differences(services: Services, root: Path, files: Path) -> list[Difference]:
    """The run's own modules that the project has otherwise today."""
    kept = files / "code" / "files"
    base = kept if kept.is_dir() else root
    out = []
    for path in sorted(base.rglob("*.py")):
        name = path.relative_to(base)
        now = services.root / name
        if not now.is_file():
            out.append(Difference("code", name.as_posix(), f"md5 {file_md5(path)}", "not there"))
        elif not filecmp.cmp(path, now, shallow=False):
            out.append(Difference("code", name.as_posix(), f"md5 {file_md5(path)}", f"md5 {file_md5(now)}"))
    return out


def _config_differences(services: Services, files: Path) -> list[Difference]:
    then = flat(_json(files / "config" / "settings.json"))
    now = flat(services.project.record())
    return settings_differences(then, now)


def settings_differences(then: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
    """Settings of one that the other has otherwise, by their dotted paths.

    >>> [str(each) for each in settings_differences({"estimator.max_iter": 80}, {"estimator.max_iter": 100})]
    ['config: estimator.max_iter: recorded 80, now 100']
    """
    none = object()
    return [
        Difference("config", name, _shown(then, name), _shown(now, name))
        for name in sorted({*then, *now})
        if then.get(name, none) != now.get(name, none)
    ]


def _shown(values: dict[str, Any], name: str) -> str:
    return json.dumps(values[name]) if name in values else "none"


def flat(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings by their dotted paths.

    >>> flat({"data": {"time": "t", "ignore": []}})
    {'data.time': 't', 'data.ignore': []}
    """
    out: dict[str, Any] = {}
    for name, value in settings.items():
        dotted = f"{path}.{name}" if path else name
        out |= flat(value, dotted) if isinstance(value, dict) and value else {dotted: value}
    return out


def environment_differences(recorded: str, now: str | None = None) -> list[Difference]:
    """Packages whose version is not the recorded one; Trimtab's own and packages that came only later aside.

    >>> [str(each) for each in environment_differences("numpy==2.0.0", "numpy==2.1.0")]
    ['environment: numpy: recorded 2.0.0, now 2.1.0']
    """
    then, today = rebuild.pins(recorded), rebuild.pins(environment() if now is None else now)
    return [
        Difference("environment", name, version, today.get(name, "not installed"))
        for name, version in then.items()
        if today.get(name) != version
    ]


def _train(python: Path, order: dict[str, Any], work: Path) -> dict[str, Any]:
    """Run the order in a process of its own.

    Raises:
        ExternalError: it did not come to a result; with its last words.
    """
    write_bytes(work / "order.json", json.dumps(order).encode())
    home = rebuild.importable(work)
    command = [str(python), "-m", "trimtab.training.again", str(work / "order.json")]
    try:
        done = subprocess.run(
            command,
            cwd=order["root"],
            env=rebuild.variables(home),
            capture_output=True,
            text=True,
            timeout=AGAIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExternalError(f"training again failed: {error}") from error
    path = Path(order["result"])
    if done.returncode or not path.exists():
        words = done.stderr.strip().splitlines()
        raise ExternalError(
            f"training again ended with code {done.returncode}: {words[-1] if words else 'it said nothing'}"
        )
    result: dict[str, Any] = json.loads(path.read_bytes())
    if result["error"]:
        raise ExternalError(f"training again failed: {result['error']}")
    return result

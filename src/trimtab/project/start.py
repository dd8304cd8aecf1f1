"""Starts a project: looks at the data, writes ``trimtab.yaml``, in a git repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trimtab.core.domain.errors import ExternalError, NotFoundError, RefusedError, UserError
from trimtab.project.draft import draft
from trimtab.project.guess import Guess, guess
from trimtab.project.inspect import Look, look
from trimtab.project.load import FILE_NAME, parse
from trimtab.project.tables import data_files, patterns_in

OURS = (".trimtab/", "/data/production/")
"""State, and the labelled rows that training collects: versions of both are kept elsewhere."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A project that is ready to be written; nothing is on disk yet."""

    path: Path
    text: str
    look: Look
    found: Guess
    files: tuple[str, ...]
    """As they stand in the project file."""


def prepare(data: str, root: Path, *, target: str, time: str | None, name: str | None, force: bool) -> Draft:
    """Look at the data and draft the project file. Writes nothing.

    Args:
        data: a file, a folder or a glob, relative to the current directory or absolute.
        root: the project's directory.
        target: the column to predict.
        time: the column with the event time; None: guessed.
        name: of the endpoint; None: after the directory.
        force: whether an existing project file may be replaced.

    Raises:
        RefusedError: there is a project file already.
        UserError: the data, a column or the name is not what it must be; the text says what was found.
    """
    path = root / FILE_NAME
    if path.exists() and not force:
        raise RefusedError(f"{path} exists already; --force writes a new one in its place")
    patterns = inside(data, root)
    seen = look(data_files(patterns, root))
    found = guess(seen, target, time)
    text = draft(_name(name, root), patterns if len(patterns) > 1 else patterns[0], seen, found)
    parse(text)
    return Draft(path, text, seen, found, patterns)


def inside(data: str, root: Path) -> tuple[str, ...]:
    """The data as paths or globs relative to the project.

    Raises:
        NotFoundError: there is nothing.
        UserError: it lies outside the project's directory.
    """
    full = Path(os.path.normpath(Path.cwd() / data))
    if full.is_dir():
        patterns = [full / pattern for pattern in patterns_in(full)]
    elif full.exists() or any(sign in data for sign in "*?["):
        patterns = [full]
    else:
        if full.is_symlink():
            raise NotFoundError(f"{data} is a link to {full.readlink()}, which is not there")
        near = sorted(path.name for path in full.parent.glob("*.[pc][aqs]*"))[:5] if full.parent.is_dir() else []
        there = f"; there is {', '.join(near)}" if near else ""
        raise NotFoundError(f"there is no file {data} in {Path.cwd()}{there}")
    if not full.is_relative_to(root):
        raise UserError(
            f"{data} lies outside the project {root}; its versions could not be kept. Copy it there: "
            f"mkdir -p data && cp {data} data/"
        )
    return tuple(pattern.relative_to(root).as_posix() for pattern in patterns)


def _name(named: str | None, root: Path) -> str:
    """The name as given, or the directory's as far as it can be one."""
    if named is not None:
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?", named):
            raise UserError(
                f"'{named}' cannot be the name: lower-case letters, digits and '-', a letter first, at most 50"
            )
        return named
    plain = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")[:50].strip("-")
    return plain if re.match(r"[a-z]", plain) else "model"


def write(project: Draft) -> None:
    """Write the project file, aside and then in place.

    Raises:
        ExternalError: the disk refused.
    """
    try:
        descriptor, aside = tempfile.mkstemp(dir=project.path.parent, prefix=f".{FILE_NAME}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(project.text)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).chmod(0o644)
            Path(aside).replace(project.path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ExternalError(f"{project.path} cannot be written: {error.strerror or error}") from error


def ignore(root: Path, files: tuple[str, ...]) -> None:
    """See that git leaves Trimtab's own state and the data alone: versions of the data are DVC's business.

    Raises:
        ExternalError: the disk refused.
    """
    file = root / ".gitignore"
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        missing = [line for line in (*OURS, *(f"/{name}" for name in files)) if line not in text.splitlines()]
        if missing:
            break_ = "" if not text or text.endswith("\n") else "\n"
            file.write_text(f"{text}{break_}" + "\n".join(missing) + "\n", encoding="utf-8")
    except OSError as error:
        raise ExternalError(f"{file} cannot be written: {error.strerror or error}") from error


def git_repository(root: Path) -> str:
    """Make ``root`` a git repository unless it is in one; what was done: ``made``, ``there`` or ``no git``.

    Raises:
        ExternalError: git is there and fails.
    """
    if any((folder / ".git").exists() for folder in (root, *root.parents)):
        return "there"
    if shutil.which("git") is None:
        return "no git"
    done = subprocess.run(["git", "init", "--quiet", str(root)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExternalError(f"git init failed: {done.stderr.strip() or done.returncode}")
    return "made"

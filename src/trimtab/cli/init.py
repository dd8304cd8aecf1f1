"""``trimtab init``: from a file to a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import Json
from trimtab.cli.show import grid, show, show_json

if TYPE_CHECKING:
    from trimtab.project.guess import Guess
    from trimtab.project.start import Draft


def init(
    data: Annotated[str, Parameter(help="Parquet or CSV: a file, a folder, or a glob in quotes.")],
    /,
    *,
    target: Annotated[str, Parameter(help="The column to predict.")],
    time: Annotated[str | None, Parameter(help="The column with the time of the event. Default: guessed.")] = None,
    name: Annotated[str | None, Parameter(help="Of the endpoint. Default: after the directory.")] = None,
    git: Annotated[bool, Parameter(negative="--no-git", help="Make a git repository if in none.")] = True,
    force: Annotated[bool, Parameter(help="Replace an existing trimtab.yaml.")] = False,
    json: Json = False,
) -> int:
    """Look at labelled data and write a commented trimtab.yaml into the current
    directory.

    Finds the time column, the task, how balanced the target is, when labels
    become known, identifiers, and columns that alone tell the target. Puts the
    directory under git and data versioning. Nothing is written if anything is
    wrong.

    For example:
        trimtab init data.parquet --target late --time departed_at
    """
    from trimtab.project import start
    from trimtab.wiring import initialise_data_versions

    root = Path.cwd()
    draft = start.prepare(data, root, target=target, time=time, name=name, force=force)
    repository = start.git_repository(root) if git else "not asked for"
    start.ignore(root, draft.files)
    initialise_data_versions(root)
    start.write(draft)
    if json:
        show_json(_plain(draft, repository))
        return 0
    _tell(draft, repository)
    return 0


def _plain(draft: Draft, repository: str) -> dict[str, object]:
    found = draft.found
    return {
        "file": str(draft.path),
        "rows": draft.look.rows,
        "task": found.task,
        "time": found.time,
        "target": found.target,
        "positive": found.positive,
        "label_time": found.label_time,
        "ignore": found.ignore,
        "entities": found.entities,
        "features": found.features,
        "notes": found.notes,
        "git": repository,
    }


def _tell(draft: Draft, repository: str) -> None:
    from rich.text import Text

    found: Guess = draft.found
    rows = [
        ("data", f"{draft.look.rows:,} rows, {len(draft.look.columns)} columns"),
        ("time", f"{found.time.column}: {found.time.why}"),
        ("target", f"{found.target.column}, {found.task}: {found.target.why}"),
    ]
    if found.label_time is not None:
        rows.append(("labels", f"{found.label_time.column}: known {found.label_time.why}"))
    rows.append(("features", ", ".join(noted.column for noted in found.features)))
    rows += [("left out" if i == 0 else "", f"{n.column}: {n.why}") for i, n in enumerate(found.ignore)]
    rows += [("note" if i == 0 else "", note) for i, note in enumerate(found.notes)]
    words = {"made": "made a git repository", "there": "in your git repository", "no git": "no git found, so none made"}
    done = ", ".join(filter(None, ("trimtab.yaml", words.get(repository, ""), "data versioning (DVC) is set up")))
    rows.append(("written", done))
    show(grid((name, Text(text)) for name, text in rows))
    if found.label_time is None:
        show(
            Text(
                "\nIf labels are known only some time after the event, set data.label_delay in trimtab.yaml.", "yellow"
            )
        )
    show("\nNext: look through trimtab.yaml, then\n  trimtab train")

"""``trimtab reproduce``: train a version again from its record and prove the result equal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import coloured, columns, show, show_json

if TYPE_CHECKING:
    from trimtab.training.reproduce import Reproduction

UNEQUAL = 3


def reproduce(
    version: Annotated[int, Parameter(help="Number of the version, as in 'trimtab versions'.")],
    /,
    *,
    env: Annotated[bool, Parameter(negative="--no-env", help="Rebuild the recorded environment if it differs.")] = True,
    common: Common = COMMON,
) -> int:
    """Train a version again from its record: its data (DVC), code (git), settings
    and environment. The result is compared with the registered package: answers
    on every evaluation row, and every file to the byte.

    What the project has otherwise today (a byte of the data, a parameter, a
    module, a library's version) is named. Exits with 3 where answers differ.

    For example:
        trimtab reproduce 3
        trimtab reproduce 3 --no-env
    """
    from trimtab.cli.train import progress
    from trimtab.training import reproduce as steps

    desk = workspace(common)
    with progress(quiet=common.json) as say, tempfile.TemporaryDirectory(prefix="reproduce-", dir=desk.state) as work:
        found = steps.reproduce(version, desk.services(), desk.runs, Path(work), rebuild_environment=env, progress=say)
    if common.json:
        show_json(found)
    else:
        _tell(found)
    return 0 if found.equal else UNEQUAL


def _tell(found: Reproduction) -> None:
    from rich.text import Text

    show(coloured("successful" if found.equal else "failed", f"version {found.version} {found.text}"))
    show(f"trained on {found.training:,} rows, code: {found.code}, in {found.where}")
    if found.differences:
        show("", "The project has changed since:")
        show(
            columns(
                ("", "what", "recorded", "now"),
                ((each.kind, Text(each.name), Text(each.recorded), Text(each.found)) for each in found.differences),
            )
        )

"""``trimtab diff``: what two versions differ in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import columns, show, show_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.training.difference import Diff

WIDTH = 60


def diff(
    first: Annotated[int, Parameter(help="Number of a version.")],
    second: Annotated[int, Parameter(help="Number of another one.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """What two versions differ in: data, code, settings, environment, metrics,
    gates, and their answers on the same rows.

    For example:
        trimtab diff 3 4
    """
    from trimtab.training.difference import difference

    desk = workspace(common)
    with tempfile.TemporaryDirectory(prefix="diff-", dir=desk.state) as work:
        found = difference(first, second, desk.services(), desk.runs, Path(work))
    if common.json:
        show_json(found)
    else:
        show(*_parts(found))
    return 0


def _parts(found: Diff) -> list[RenderableType]:
    from rich.text import Text

    heads = ("", f"version {found.first}", f"version {found.second}")
    out: list[RenderableType] = []
    for name, pairs in (
        ("data", found.data),
        ("code", found.code),
        ("config", found.config),
        ("environment", found.environment),
        ("gates", found.gates),
    ):
        out += [Text(name, style="bold"), _table(heads, pairs) if pairs else "  the same", ""]
        if name == "code" and found.patch:
            out += [Text(found.patch), ""]
    figures = [(name, _figure(a), _figure(b)) for name, a, b in found.metrics]
    out += [Text("metrics, each on its own evaluation rows", style="bold"), _table(heads, figures), ""]
    said = found.predictions
    words = (
        said["error"]
        if "error" in said
        else f"{said['differing']:,} of {said['rows']:,} {said['on']} are answered otherwise"
        + (f", by at most {said['largest']:.3g}" if said["largest"] else "")
    )
    return [*out, Text("predictions", style="bold"), f"  {words}"]


def _table(heads: Sequence[str], pairs: Sequence[tuple[str, str, str]]) -> RenderableType:
    from rich.text import Text

    return columns(heads, (tuple(Text(_short(cell)) for cell in pair) for pair in pairs))


def _short(text: str) -> str:
    return text if len(text) <= 2 * WIDTH else text[: 2 * WIDTH] + "…"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"

"""``trimtab settings``: the reference of trimtab.yaml on the terminal."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from trimtab.cli.options import Json
from trimtab.cli.show import grid, show
from trimtab.core.domain.errors import NotFoundError


def settings(
    section: Annotated[str, Parameter(help="One section, e.g. rollout or gates.latency.")] = "",
    /,
    *,
    json: Json = False,
) -> int:
    """Every setting of trimtab.yaml with its type, default and reason; with --json
    the JSON Schema for editors.

    For example:
        trimtab settings rollout
    """
    import sys

    import msgspec
    from rich.text import Text

    from trimtab.project import reference
    from trimtab.project.explain import did_you_mean

    if json:
        text = msgspec.json.format(msgspec.json.encode(reference.schema()), indent=2)
        sys.stdout.write(text.decode() + "\n")
        return 0
    found = [path for path, _ in reference.sections()]
    if section not in found:
        raise NotFoundError(
            f"there is no section '{section}'; {did_you_mean(section, [path for path in found if path])}"
        )
    for path, lines in reference.plain():
        if path == section or not section or path.startswith(f"{section}."):
            show(Text(f"\n{path or 'trimtab.yaml'}", style="bold"))
            show(grid((f"  {name}", Text(text)) for name, text in lines))
    return 0

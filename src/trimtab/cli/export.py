"""``trimtab export``: a drift check in the format of another tool."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from trimtab.cli.tables import Alpha, Current, Ignore, Reference, listed, output_path, probability


def export(
    form: Annotated[Literal["evidently"], Parameter(help="'evidently': the report JSON of Evidently 0.7.")],
    reference: Reference,
    current: Current,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="File to write. Default: it is printed.")] = None,
    time: Annotated[str | None, Parameter(help="Column of event times: natural variation is known by it.")] = None,
    alpha: Alpha = 0.01,
    ignore: Ignore = "",
    scores: Annotated[str, Parameter(help="Columns of the model's answers: one of each class, or one value.")] = "",
) -> int:
    """Check REFERENCE and CURRENT for drift as 'trimtab drift' does and write the
    result as another tool would have: for dashboards and scripts that read its
    reports. That tool need not be installed. Exit code 0 whether it alarms or not.

    For example:
        trimtab export evidently train.parquet live.parquet --out report.json
    """
    from trimtab.offline.drift import DriftQuestion, compare_tables
    from trimtab.reports import evidently_report, write_text

    path = output_path(out, "--out")
    question = DriftQuestion(probability(alpha), time, listed(ignore), scores=listed(scores))
    report = {"evidently": evidently_report}[form](compare_tables(reference, current, question).result)
    text = json.dumps(report, allow_nan=False, ensure_ascii=False) + "\n"
    if path is None:
        sys.stdout.write(text)
    else:
        write_text(path, text)
    return 0

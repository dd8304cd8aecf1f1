"""``trimtab import``: prediction logs of other servers become a log directory that Trimtab watches."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import Parameter

from trimtab.cli.options import Json
from trimtab.cli.show import grid, show, show_json
from trimtab.cli.tables import listed
from trimtab.core.domain.errors import UserError

if TYPE_CHECKING:
    from trimtab.wiring import ForeignFormat

MAPPED = ("id", "time", "event_time", "score", "scores", "prediction", "label", "label_time", "ignore")


def import_log(
    *sources: Annotated[Path, Parameter(help="Files, or folders of files: JSON, JSON lines, CSV, Parquet.")],
    format: Annotated[str, Parameter(help="kserve, seldon, sagemaker or table.")],  # noqa: A002
    into: Annotated[Path, Parameter(help="The log directory; made where it is not there.")],
    columns: Annotated[str, Parameter(help="Names of inputs that have none, in order: a,b,c.")] = "",
    classes: Annotated[str, Parameter(help="Classes in the order of their scores: no,yes.")] = "",
    regression: Annotated[bool, Parameter(help="The answers are numbers, not classes.")] = False,
    event_time: Annotated[str | None, Parameter(help="An input that is the event time.")] = None,
    map: Annotated[  # noqa: A002
        list[str] | None, Parameter(help="Of a table: what is which column, id=request_id; may be repeated.")
    ] = None,
    version: Annotated[int, Parameter(help="Version that answered, as it is to be logged.")] = 1,
    labels: Annotated[Path | None, Parameter(help="A table of labels that came later.")] = None,
    label_id: Annotated[str, Parameter(help="Of the labels: column of the id.")] = "prediction_id",
    label: Annotated[str, Parameter(help="Of the labels: column of the label.")] = "label",
    label_time: Annotated[str | None, Parameter(help="Of the labels: column of when it became known.")] = None,
    json: Json = False,
) -> int:
    """Reads what another server logged: CloudEvents of KServe (1.0) and of Seldon or
    MLServer (0.3), SageMaker's data capture, or a plain table whose columns are
    named with --map. Each row is written once, however often this is run: a cron
    job may name the same folder every minute. The model is not touched.

    Columns of a table (--map): id, time, event_time, score (of the second class) or
    scores (a,b,c), prediction, label, label_time, ignore (a,b). All others are inputs.

    For example:
        trimtab import events/ --format kserve --classes no,yes --columns age,income --into logs
        trimtab import capture/ --format sagemaker --classes 0,1 --columns age,income --into logs
        trimtab import rows.parquet --format table --map id=key --map time=at --map score=p --classes 0,1 --into logs
        trimtab import --format table --labels labels.csv --into logs
    """
    from trimtab.wiring import import_foreign

    names = ("kserve", "seldon", "sagemaker", "table")
    if format not in names:
        raise UserError(f"--format: '{format}' is not one of {', '.join(names)}")
    if not sources and labels is None:
        raise UserError("nothing to import: name files or folders, or --labels")
    if version < 1:
        raise UserError(f"--version must be at least 1, found {version}")
    done = import_foreign(
        _known(format),
        sources,
        into,
        columns=listed(columns),
        classes=listed(classes),
        regression=regression,
        event_time=event_time,
        mapping=_mapping(map or [], event_time) if format == "table" and sources else None,
        version=version,
        labels=None if labels is None else (labels, label_id, label, label_time),
        now=clock.time(),  # noqa: TID251  an entry point without a project has no clock of one
    )
    if json:
        show_json(done)
    else:
        show(*_words(done, into))
    return 0


def _known(name: str) -> ForeignFormat:
    from trimtab.wiring import ForeignFormat

    return next(each for each in get_args(ForeignFormat) if each == name)


def _mapping(pairs: list[str], event_time: str | None) -> dict[str, Any]:
    """What is which column.

    Raises:
        UserError: an unknown name, no '=', or what a table cannot do without.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, column = pair.partition("=")
        if not sign or not column or name not in MAPPED:
            raise UserError(f"--map: '{pair}' is not name=column with a name of {', '.join(MAPPED)}")
        found[name] = column
    missing = [name for name in ("id", "time") if name not in found]
    if missing:
        raise UserError(f"--map: a table needs {' and '.join(missing)}, e.g. --map {missing[0]}=request_{missing[0]}")
    scores = listed(found.get("scores", found.get("score", "")))
    if not scores and "prediction" not in found:
        raise UserError("--map: a table needs score, scores or prediction: what did the model answer?")
    return {
        "id": found["id"],
        "time": found["time"],
        "scores": scores,
        "prediction": found.get("prediction"),
        "label": found.get("label"),
        "label_time": found.get("label_time"),
        "event_time": found.get("event_time", event_time),
        "ignore": listed(found.get("ignore", "")),
    }


def _words(done: dict[str, Any], into: Path) -> list[Any]:
    rows: list[tuple[str, Any]] = [("imported", f"{done['rows']:,} rows of {done['files']:,} files into {into}")]
    if done["repeated"] or done["unchanged"]:
        rows.append(("known", f"{done['repeated']:,} rows and {done['unchanged']:,} files were there already"))
    if done["waiting"]:
        rows.append(("waiting", f"{done['waiting']:,} requests or responses without the other half"))
    if done["ignored"]:
        rows.append(("ignored", f"{done['ignored']:,} events that are no requests or responses"))
    if done["labels"] or done["repeated_labels"]:
        rows.append(("labels", f"{done['labels']:,} new, {done['repeated_labels']:,} known"))
    if done["columns"]:
        rows.append(("inputs", ", ".join(done["columns"][:12]) + (" …" if len(done["columns"]) > 12 else "")))
    return [grid(rows)]

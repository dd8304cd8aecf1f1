"""Labels in bulk as a table (Parquet, Arrow): the same checks and errors as for those in JSON."""

from __future__ import annotations

from typing import Any

from trimtab.serving.net.http import RequestError
from trimtab.serving.package import ClassValue
from trimtab.serving.protocols.context import prediction_id
from trimtab.serving.protocols.inputs import epoch_seconds
from trimtab.serving.protocols.labels import label_value
from trimtab.serving.protocols.tables import plain_values, read_table
from trimtab.serving.record.records import LabelRecord

COLUMNS = ("prediction_id", "label", "label_time")


def decode_label_table(
    body: bytes, media: str, classes: tuple[ClassValue, ...] | None, now: float, rows_max: int
) -> list[LabelRecord]:
    """The labels of a table with the columns of ``COLUMNS`` (``label_time`` need not be there), all good or none.

    Raises:
        RequestError: the body is no such table, or a label, id or time is not what it must be; its row is named.
    """
    table = read_table(body, media, rows_max, COLUMNS)
    for name in COLUMNS[:2]:
        if name not in table.column_names:
            there = ", ".join(table.column_names) or "none of them"
            raise RequestError(400, f"the table has no column '{name}'; it needs {', '.join(COLUMNS[:2])}, has {there}")
    ids, labels = (plain_values(table.column(name), name) for name in COLUMNS[:2])
    times: list[Any] = [None] * len(ids)
    if "label_time" in table.column_names:
        times = plain_values(table.column("label_time"), "label_time")
    records = []
    for row, (identity, label, at) in enumerate(zip(ids, labels, times, strict=True)):
        known = now if _missing(at) else epoch_seconds(at, f"label_time in row {row}")
        records.append(
            LabelRecord(
                prediction_id(identity, f"prediction_id in row {row}"),
                label_value(label, classes, f"label in row {row}"),
                known,
                now,
            )
        )
    return records


def _missing(value: Any) -> bool:
    return value is None or value != value

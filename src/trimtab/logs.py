"""The columns of the log directory (docs/formats.md), and how tables of several files and versions become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from trimtab.core.domain.errors import DataError

TIME = pa.timestamp("us", tz="UTC")

PREDICTION_COLUMNS = pa.schema(
    [
        ("prediction_id", pa.string()),
        ("time", TIME),
        ("event_time", TIME),
        ("version", pa.int32()),
        ("arm", pa.string()),
        ("shadow", pa.bool_()),
        ("entity", pa.string()),
        ("generation", pa.int32()),
        ("latency_ms", pa.float32()),
        ("error", pa.string()),
    ]
)
"""The columns that every prediction has; the inputs ``x.*`` and outputs ``y.*`` follow by signature."""

LABEL_COLUMNS = pa.schema([("prediction_id", pa.string()), ("label_time", TIME), ("time", TIME)])
"""The columns that every label has; ``label`` follows by task (string, or double for regression)."""


PROFILE_COLUMNS = pa.schema(
    [
        ("baseline", pa.int32()),
        ("version", pa.int32()),
        ("generation", pa.int32()),
        ("own", pa.bool_()),
        ("bucket", TIME),
        ("bucket_s", pa.float64()),
        ("newest", TIME),
        ("rows", pa.int64()),
        ("digest", pa.string()),
        ("profile", pa.binary()),
    ]
)
"""A row of ``profiles/``: answered rows of one version, generation and bucket of event time, in a baseline's bins."""


MERGED = "merged-"
"""How the names of files begin that hold the rows of others: ``merged-<digest>-<how many>.parquet``."""


def is_merged(name: str) -> bool:
    """Whether a file of the log holds the rows of others, which servers had written.

    >>> is_merged("labels/date=2026-01-01/hour=05/merged-0123456789abcdef-7200.parquet")
    True
    """
    return name.rpartition("/")[2].startswith(MERGED)


def files_in(name: str) -> int:
    """How many files, as servers wrote them, a file of the log stands for.

    >>> files_in("merged-0123456789abcdef-7200.parquet"), files_in("w0-0123-00000001.parquet")
    (7200, 1)
    """
    return int(name.removesuffix(".parquet").rpartition("-")[2]) if is_merged(name) else 1


TRAFFIC_COLUMNS = pa.schema(
    [
        ("version", pa.int32()),
        ("generation", pa.int32()),
        ("champion", pa.int32()),
        ("shadow", pa.bool_()),
        ("first", TIME),
        ("last", TIME),
        ("requests", pa.int64()),
        ("errors", pa.int64()),
        ("invalid", pa.int64()),
        ("compared", pa.int64()),
        ("disagreed", pa.int64()),
        ("latency", pa.binary()),
        ("shift", pa.binary()),
    ]
)
"""A row of ``traffic/``: what a version did in a bucket of time, or how far it agreed with the champion in it."""


def empty_predictions() -> pa.Table:
    """No predictions, with the columns that every prediction has."""
    return PREDICTION_COLUMNS.empty_table()


def empty_labels() -> pa.Table:
    """No labels, with the columns that every label has; ``label`` is of type null until there is one."""
    return LABEL_COLUMNS.append(pa.field("label", pa.null())).empty_table()


def answered_rows(predictions: pa.Table) -> pa.Table:
    """The rows that were answered: no shadow rows, no errors."""
    import pyarrow.compute as pc  # not at the start of a server, which needs only the columns

    return predictions.filter(pc.and_(pc.invert(predictions.column("shadow")), pc.is_null(predictions.column("error"))))


def newest_rows(tables: Sequence[pa.Table], rows: int) -> pa.Table:
    """The last ``rows`` by arrival of all tables, oldest first."""
    return concatenate(tables).sort_by("time")[-rows:]


def reading_order(names: Iterable[str]) -> list[str]:
    """Names as ``predictions/<partition>/<file>`` in the order of arrival: by partition, predictions first.

    >>> reading_order(["labels/date=2026-01-01/hour=05/a-1.parquet", "predictions/date=2026-01-01/hour=06/a-2.parquet"])
    ['labels/date=2026-01-01/hour=05/a-1.parquet', 'predictions/date=2026-01-01/hour=06/a-2.parquet']
    """

    def key(name: str) -> tuple[str, int, str]:
        kind, _, rest = name.partition("/")
        partition, _, file = rest.rpartition("/")
        return partition, 0 if kind == "predictions" else 1, file

    return sorted(names, key=key)


def concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all rows with the columns of all, missing ones null.

    Types that differ are widened (int and double to double); where there is no common type, as when an input was a
    number in one version and is a string in the next, the column becomes text.

    Raises:
        DataError: a column has types that cannot even be written as text.
    """
    plain = [_without_dictionaries(table) for table in tables]
    try:
        return pa.concat_tables(plain, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        for name in _conflicting(plain):
            plain = [_as_text(table, name) for table in plain]
        return pa.concat_tables(plain, promote_options="permissive")


def first_labels(labels: pa.Table) -> tuple[pa.Table, int]:
    """The earliest label by arrival of each prediction id, the first row among equals; and how many said otherwise."""
    import pyarrow.compute as pc  # not at the start of a server, which needs only the columns

    if not labels.num_rows:
        return labels, 0
    ordered = labels.append_column("_row", pa.array(range(labels.num_rows), pa.int64()))
    ordered = ordered.sort_by([("time", "ascending"), ("_row", "ascending")])
    ordered = ordered.set_column(ordered.num_columns - 1, "_row", pa.array(range(labels.num_rows), pa.int64()))
    first = ordered.group_by("prediction_id", use_threads=False).aggregate([("_row", "min")])
    if first.num_rows == labels.num_rows:
        return labels, 0
    kept = ordered.take(first.column("_row_min"))
    said = ordered.join(
        kept.select(["prediction_id", "label"]), "prediction_id", right_suffix="_first", use_threads=False
    )
    same = pc.fill_null(pc.equal(said.column("label"), said.column("label_first")), False)
    conflicting = labels.num_rows - int(pc.sum(same).as_py() or 0)
    return kept.drop_columns(["_row"]), conflicting


def _without_dictionaries(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(index).cast(field.type.value_type)
            table = table.set_column(index, pa.field(field.name, field.type.value_type), column)
    return table


def _conflicting(tables: Sequence[pa.Table]) -> list[str]:
    """Names of the columns whose types have no common one."""
    types: dict[str, list[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, []).append(field.type)
    names = []
    for name, kinds in types.items():
        try:
            pa.unify_schemas([pa.schema([(name, kind)]) for kind in kinds], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            names.append(name)
    return names


def _as_text(table: pa.Table, name: str) -> pa.Table:
    index = table.schema.get_field_index(name)
    if index < 0:
        return table
    try:
        column = table.column(index).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        kind = table.schema.field(index).type
        raise DataError(f"column '{name}' of the log has type {kind}, which differs between files: {error}") from error
    return table.set_column(index, pa.field(name, pa.string()), column)

"""Tables that come as bodies: Parquet and Arrow IPC, bounded before they are unpacked."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from trimtab.serving.net.http import RequestError

PARQUET = {"application/vnd.apache.parquet", "application/x-parquet"}
STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
ARROW = {STREAM, FILE}
BATCH_ROWS = 1024
BYTES_MAX = 256 * 1024 * 1024
"""A table may unpack to this much; a few bytes can stand for gigabytes."""


def read_table(body: bytes, media: str, rows_max: int, columns: Iterable[str] | None = None) -> Any:
    """A ``pyarrow.Table`` of the body. ``columns``: those to read, where it has them; None: all.

    Raises:
        RequestError: the bytes are not of that type, or hold more than the limits.
    """
    import pyarrow as pa

    try:
        batches, schema = (_parquet if media in PARQUET else _arrow)(body, media, rows_max, columns)
        kept, rows, size = [], 0, 0
        for batch in batches:
            batch.validate(full=True)  # offsets that point elsewhere: Arrow itself trusts them
            rows, size = rows + batch.num_rows, size + batch.nbytes
            _bounded(rows, rows_max)
            if size > BYTES_MAX:
                raise RequestError(413, f"the table unpacks to more than {BYTES_MAX} bytes; send several requests")
            kept.append(batch)
        return pa.Table.from_batches(kept, schema)
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, NotImplementedError) as error:
        raise RequestError(400, f"the body is not {media}: {error}") from None


def plain_values(column: Any, name: str) -> list[Any]:
    """The values of a column as Python's; times and days as seconds since the epoch (no zone: UTC).

    Raises:
        RequestError: the column has a type that has no plain values.
    """
    import pyarrow as pa

    kind = column.type
    try:
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):  # as numbers: Python's years end where Arrow's do not
            micros = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False).cast(pa.int64())
            return [None if value is None else value / 1e6 for value in micros.to_pylist()]
        values: list[Any] = column.to_pylist()
    except (pa.ArrowException, ValueError, KeyError, OverflowError, NotImplementedError) as error:
        raise RequestError(400, f"column '{name}' ({kind}) cannot be read: {error}") from None
    return values


def _parquet(body: bytes, media: str, rows_max: int, columns: Iterable[str] | None) -> Any:  # noqa: ARG001  as _arrow
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(body))
    _bounded(file.metadata.num_rows, rows_max)
    schema = _unambiguous(file.schema_arrow)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns if name in schema.names])
    return file.iter_batches(BATCH_ROWS, columns=schema.names), schema


def _arrow(body: bytes, media: str, rows_max: int, columns: Iterable[str] | None) -> Any:  # noqa: ARG001  as _parquet
    import pyarrow as pa

    if media == FILE:
        reader = pa.ipc.open_file(io.BytesIO(body))
        return (reader.get_batch(i) for i in range(reader.num_record_batches)), _unambiguous(reader.schema)
    reader = pa.ipc.open_stream(io.BytesIO(body))
    return reader, _unambiguous(reader.schema)


def _unambiguous(schema: Any) -> Any:
    if len(set(schema.names)) != len(schema.names):
        raise RequestError(400, "the table names a column twice")
    return schema


def _bounded(rows: int, rows_max: int) -> None:
    if rows > rows_max:
        raise RequestError(413, f"the body has {rows} rows, the limit is {rows_max}; send several requests")

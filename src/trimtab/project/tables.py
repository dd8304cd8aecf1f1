"""Parquet and CSV files of a project: which there are, their columns, and their rows batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from trimtab.core.domain.errors import DataError, NotFoundError

PARQUET = (".parquet", ".pq")
CSV = (".csv",)
BATCH_ROWS = 65_536


def data_files(patterns: Sequence[str], root: Path) -> tuple[Path, ...]:
    """The files of paths and globs, in that order, each once.

    Raises:
        NotFoundError: a pattern matches nothing; the text names the pattern and the folder.
        DataError: a file is neither Parquet nor CSV.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        files = _matches(pattern, root)
        if not files:
            raise NotFoundError(f"no data file '{pattern}' in {root}")
        found.update(dict.fromkeys(files))
    for file in found:
        if not file.name.lower().endswith(PARQUET + CSV):
            raise DataError(f"{file.name} is neither Parquet nor CSV; file names end in {', '.join(PARQUET + CSV)}")
    return tuple(found)


def _matches(pattern: str, root: Path) -> list[Path]:
    plain = root / pattern
    if plain.is_file():
        return [plain]
    anchor = Path(pattern).anchor
    base = Path(anchor) if anchor else root
    relative = pattern.removeprefix(anchor)
    return sorted(path for path in base.glob(relative) if path.is_file()) if relative else []


def patterns_in(folder: Path) -> tuple[str, ...]:
    """Globs for the data files that stand directly in a folder: ``*.parquet``, ``*.csv``.

    Raises:
        NotFoundError: there are none.
    """
    endings = sorted({path.suffix for path in folder.iterdir() if path.name.lower().endswith(PARQUET + CSV)})
    if not endings:
        raise NotFoundError(f"no Parquet or CSV file in {folder}")
    return tuple(f"*{ending}" for ending in endings)


def batches(file: Path, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The file's rows in batches of about ``rows``; never the whole file in memory. At least one batch, maybe empty.

    Raises:
        DataError: the file is damaged or cannot be read; CSV errors name the row.
    """
    try:
        yield from _parquet(file, rows) if file.name.lower().endswith(PARQUET) else _csv(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name} cannot be read: {readable(error)}{csv_hint(file)}") from error


def readable(error: Exception) -> str:
    """The first line of an error without what a terminal cannot show: a parser quotes the bytes that it stumbled on."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return " ".join("".join(c if c.isprintable() and c != "\ufffd" else " " for c in line).split())[:200]


def csv_hint(file: Path) -> str:
    """What is likely wrong with a CSV file that cannot be read, or nothing."""
    if not file.name.lower().endswith(CSV):
        return ""
    try:
        with file.open("rb") as source:
            start = source.read(4)
    except OSError:
        return ""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "; it is UTF-16: save it as UTF-8"
    if start == b"PAR1":
        return "; it is a Parquet file: rename it to .parquet"
    return "; it is compressed: unpack it" if start[:2] == b"\x1f\x8b" else ""


def check_text(schema: pa.Schema, name: str) -> None:
    """Raise DataError where a column of a CSV file came out as bytes: it is text in another encoding."""
    for field in schema:
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            raise DataError(f"column '{field.name}' of {name} is not UTF-8: save the file as UTF-8")


def separator_hint(columns: Sequence[str]) -> str:
    """A hint where a file has one column whose name looks like several."""
    for separator, word in ((";", "';'"), ("\t", "a tab"), ("|", "'|'")):
        if len(columns) == 1 and separator in columns[0]:
            return f"; is {word} the separator of this file? write it with commas"
    return ""


def _parquet(file: Path, rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as reader:
        if not reader.metadata.num_rows:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema_arrow)
        yield from reader.iter_batches(batch_size=rows)


def _csv(file: Path) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    with csv.open_csv(file) as reader:
        empty = True
        for batch in reader:
            empty = False
            check_text(batch.schema, file.name)
            yield batch
        if empty:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)


def head(file: Path, rows: int = 2_000) -> pa.Table:
    """The first rows of a file, at most ``rows``."""
    reading = batches(file, rows)
    first = next(reading)
    return pa.Table.from_batches([first]).slice(0, rows)

"""Records of JSON, JSON lines, CSV and Parquet files, with the place of each."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trimtab.adapters.foreign.records import Place
from trimtab.core.domain.errors import DataError, NotFoundError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".log", ".csv", ".parquet", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".csv.gz")


def files_of(sources: Sequence[Path]) -> list[Path]:
    """The files named, and all files of a known kind below the folders named, by name.

    Raises:
        NotFoundError: a file or folder that is not there, or a folder without such files.
    """
    out: list[Path] = []
    for source in sources:
        if source.is_dir():
            found = sorted(path for path in source.rglob("*") if path.is_file() and path.name.endswith(SUFFIXES))
            found = [path for path in found if not path.name.startswith((".", "_"))]
            if not found:
                raise NotFoundError(f"the folder {source} holds no file of {', '.join(SUFFIXES)}")
            out += found
        elif source.exists():
            out.append(source)
        else:
            raise NotFoundError(f"there is no file {source}")
    return list(dict.fromkeys(out))


def records_of(path: Path) -> Iterator[tuple[Place, Any]]:
    """Each record of a file.

    Raises:
        DataError: a line that is no JSON, or a file that cannot be read; file and line are named.
    """
    try:
        if path.name.endswith((".parquet", ".csv", ".csv.gz")):
            yield from _table(path)
        else:
            yield from _json(path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _table(path: Path) -> Iterator[tuple[Place, Any]]:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read() if path.suffix == ".parquet" else pc.read_csv(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    for at, row in enumerate(table.to_pylist(), 1):
        yield Place(str(path), at), row


def _json(path: Path) -> Iterator[tuple[Place, Any]]:
    """A whole file of JSON (one record, or an array of them), or one record a line."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw.decode("utf-8-sig")
    if path.name.removesuffix(".gz").endswith(".json"):
        try:
            whole = json.loads(text)
        except ValueError:
            pass  # one record a line, under the plainer name
        else:
            listed = whole if isinstance(whole, list) else [whole]
            yield from ((Place(str(path), at), record) for at, record in enumerate(listed, 1))
            return
    for at, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{at}: no JSON ({error}): {line[:60]!r}") from None
        for record in found if isinstance(found, list) else [found]:
            yield Place(str(path), at), record

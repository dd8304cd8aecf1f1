"""Many small files of the log become few: those of an hour are merged, and whoever reads gets each row once.

A worker writes a file every half second. A merged file holds the rows of its sources in a row, and tells in its footer
which rows were whose (``parts_of``), those of sources that were merged files themselves too. So a reader that had read
some of the sources takes the other rows only, and one that finds a source beside the merged file (the merging was
killed between writing and deleting) knows that it must not read it again. Written aside, synced and renamed; only then
are the sources deleted. Nothing is changed in place, and a merging that was killed anywhere is simply done again.

Run by a process of its own (``python -m trimtab.serving.record.merge LOGS PARTITION…``), at low priority, which a
server starts now and then (``merging``): requests notice nothing of it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import logging
import os
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.logs import MERGED, files_in, is_merged
from trimtab.serving.record.files import HOUR_S, parquet_options, sync_directory
from trimtab.serving.record.retention import OPEN_S, hour_of

LOCK = ".merge.lock"
"""In the log directory; held by the one process that merges there."""
PARTS = b"trimtab.parts"
"""Key in a merged file's footer."""
FILES_MIN = 64
"""Files of an hour that is not over are merged from so many on."""
ROWS_MAX = 1_000_000
"""Rows of a merged file, about; a busy hour gets several."""
BYTES_MAX = 128 * 1024 * 1024
"""Bytes of a merged file, about."""
GROUP_ROWS = 131_072
"""Rows of a row group."""
NICE = 10

_log = logging.getLogger("trimtab.serving")

Part = tuple[str, int, int]
"""(name of a source, its first row in the merged file, its rows)"""


def parts_of(path: Path) -> tuple[Part, ...]:
    """Which rows of a merged file were whose; rows of what was merged twice stand under both names.

    Raises:
        OSError: there is no such file, or it cannot be read.
        pyarrow.ArrowException: it is no Parquet file.
        ValueError: its footer does not tell.
    """
    told = (pq.read_metadata(path).metadata or {}).get(PARTS)
    if told is None:
        raise ValueError(f"{path} does not tell which files were merged into it")
    return msgspec.json.decode(zlib.decompress(base64.b64decode(told)), type=tuple[Part, ...])


@dataclass(frozen=True, slots=True)
class Source:
    """A file that can be merged."""

    name: str
    size: int
    mtime_ns: int


def merge_partition(folder: Path, now: float) -> int:
    """Merge the files of one hour; how many went into others. Only one process may do so at a time (``alone``).

    Args:
        folder: ``<logs>/<kind>/date=…/hour=…``.
        now: seconds since the epoch; an hour that is over is merged as far as it goes.

    Raises:
        OSError: the disk is full, a folder cannot be written, …; nothing is lost and nothing is there twice.
    """
    start = hour_of(folder)
    if start is None:
        return 0
    over = start + HOUR_S + OPEN_S <= now
    _clean(folder, now)
    sources = [source for source in scan(folder) if over or not is_merged(source.name)]
    if not over and len(sources) < FILES_MIN:
        return 0
    if over:
        sources = [source for source in sources if not (is_merged(source.name) and _full(folder, source))]
    gone = 0
    for batch in _batches(folder, sources):
        gone += _merge_readable(folder, batch)
    return gone


def scan(folder: Path) -> list[Source]:
    """The files of a partition, oldest first."""
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".parquet") and not entry.name.startswith((".", "_")):
                stat = entry.stat()
                found.append(Source(entry.name, stat.st_size, stat.st_mtime_ns))
    return sorted(found, key=lambda source: (source.mtime_ns, source.name))


def _clean(folder: Path, now: float) -> None:
    """Delete what a merging that was killed has left: sources beside their merged file, and files half written."""
    names = {source.name for source in scan(folder)}
    merged = [name for name in names if is_merged(name)]
    if merged and len(names) > 1:
        for name in {part[0] for path in merged for part in parts_of(folder / path)} & names:
            (folder / name).unlink(missing_ok=True)
    for path in folder.glob(".*.tmp"):
        if path.name.startswith(f".{MERGED}") or path.stat().st_mtime + OPEN_S < now:  # or of a worker that was killed
            path.unlink(missing_ok=True)


def _full(folder: Path, source: Source) -> bool:
    return 2 * source.size >= BYTES_MAX or 2 * pq.read_metadata(folder / source.name).num_rows >= ROWS_MAX


@dataclass(slots=True)
class _Batch:
    sources: list[Source] = field(default_factory=list)
    rows: int = 0
    size: int = 0


def _batches(folder: Path, sources: Iterable[Source]) -> Iterator[list[Source]]:
    """Sources that become one file: of one schema, and not too large together. One alone stays as it is."""
    open_batches: dict[str, _Batch] = {}
    for source in sources:
        try:
            about = pq.read_metadata(folder / source.name)
        except pa.ArrowException as error:
            _leave(folder / source.name, error)
            continue
        schema = about.schema.to_arrow_schema().to_string(show_field_metadata=False, show_schema_metadata=False)
        batch = open_batches.setdefault(schema, _Batch())
        batch.sources.append(source)
        batch.rows += about.num_rows
        batch.size += source.size
        if batch.rows >= ROWS_MAX or batch.size >= BYTES_MAX:
            yield from _worthwhile(batch)
            batch.sources, batch.rows, batch.size = [], 0, 0
    for batch in open_batches.values():
        yield from _worthwhile(batch)


def _worthwhile(batch: _Batch) -> Iterator[list[Source]]:
    if len(batch.sources) > 1:
        yield batch.sources


class _DamagedError(Exception):
    def __init__(self, name: str, why: Exception) -> None:
        super().__init__(str(why))
        self.name, self.why = name, why


def _merge_readable(folder: Path, sources: list[Source]) -> int:
    while len(sources) > 1:
        try:
            _merge(folder, sources)
        except _DamagedError as error:
            _leave(folder / error.name, error.why)
            sources = [source for source in sources if source.name != error.name]
        else:
            return len(sources)
    return 0


def _leave(path: Path, error: Exception) -> None:
    """Readers name it to people; it must not keep the others from being merged."""
    _log.error("%s is not merged, it cannot be read: %s", path, str(error).splitlines()[0])


def _merge(folder: Path, sources: Sequence[Source]) -> None:
    digest = hashlib.sha256("\n".join(sorted(source.name for source in sources)).encode()).hexdigest()
    count = sum(files_in(source.name) for source in sources)
    final = folder / f"{MERGED}{digest[:16]}-{count}.parquet"
    aside = folder / f".{final.name}.tmp"
    try:
        with aside.open("wb") as file:
            _write(folder, sources, file)
            file.flush()
            os.fsync(file.fileno())
        newest = max(source.mtime_ns for source in sources)
        os.utime(aside, ns=(newest, newest))  # readers of the newest rows go by it
        aside.rename(final)
        sync_directory(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    for source in sources:
        (folder / source.name).unlink(missing_ok=True)


def _write(folder: Path, sources: Sequence[Source], file: Any) -> None:
    kind = folder.parent.parent.name
    schema = pq.read_schema(folder / sources[0].name).remove_metadata()
    parts: list[Part] = []
    waiting: list[pa.Table] = []
    held = rows = 0
    with pq.ParquetWriter(file, schema, **parquet_options(kind, schema.names)) as writer:
        for source in sources:
            for table in _tables(folder / source.name):
                waiting.append(table)
                held += len(table)
                if held >= GROUP_ROWS:
                    writer.write_table(pa.concat_tables(waiting), row_group_size=held)
                    waiting, held = [], 0
            n = pq.read_metadata(folder / source.name).num_rows
            parts.append((source.name, rows, n))
            if is_merged(source.name):
                parts += [(name, rows + first, of) for name, first, of in parts_of(folder / source.name)]
            rows += n
        if held:
            writer.write_table(pa.concat_tables(waiting), row_group_size=held)
        writer.add_key_value_metadata({PARTS.decode(): _encoded(parts)})


def _tables(path: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            for index in range(file.num_row_groups):
                yield file.read_row_group(index, use_threads=False).replace_schema_metadata(None)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:  # of reading alone: what is written is written by who takes these
        raise _DamagedError(path.name, error) from error


def _encoded(parts: Sequence[Part]) -> str:
    return base64.b64encode(zlib.compress(msgspec.json.encode(parts), 6)).decode()


@contextlib.contextmanager
def alone(logs: Path) -> Iterator[bool]:
    """Whether this is the only process that merges in the log directory, and stays so meanwhile."""
    with (logs / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def main(argv: Sequence[str] | None = None) -> int:
    """Merge partitions, by their names below the log directory; 1 where one could not be."""
    logs, *partitions = sys.argv[1:] if argv is None else argv
    os.nice(NICE)
    pa.set_cpu_count(1)
    code = 0
    with alone(Path(logs)) as ours:
        for partition in partitions if ours else ():
            try:
                merge_partition(Path(logs) / partition, time.time())  # noqa: TID251  an entry point of the data plane
            except (OSError, ValueError, pa.ArrowException) as error:
                sys.stderr.write(f"the files of {partition} are not merged, it is tried again: {error}\n")
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())

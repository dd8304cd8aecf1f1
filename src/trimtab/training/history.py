"""Labelled history: the project's files and what production collected, as one table with its times.

What is left out is counted: rows without a label, and exact repetitions. A file's row repeats another when all columns
are equal, ``data.ignore`` included (a different id is a different row); a collected row when inputs, time, entity and
target are equal to those of a row that is there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.domain.errors import DataError
from trimtab.logs import concatenate
from trimtab.training.collect import ID, Names
from trimtab.training.read import concat, expand, plain, read_file, require, seconds, shown

if TYPE_CHECKING:
    from trimtab.project.settings import Data, Project

LABEL_TIME = "label_time"
"""Column of collected rows where the project names none (``data.label_delay``)."""


@dataclass(frozen=True, slots=True)
class History:
    """Labelled rows, in no particular order of time."""

    table: pa.Table
    """Features, slices, time, entity, target and label time, in plain types."""
    features: tuple[str, ...]
    """In the order of the first file."""
    at: npt.NDArray[np.float64]
    """(n,) event time, seconds since the epoch."""
    known_at: npt.NDArray[np.float64]
    """(n,) when the label became known; NaN where that is not told."""
    duplicates: int
    unlabelled: int
    notes: tuple[str, ...] = ()
    """What a person should know of the reading."""


def names_of(data: Data) -> Names:
    """What collected columns are called in this project."""
    return Names(data.time, data.target, data.label_time or LABEL_TIME, data.entity)


def load_history(root: Path, project: Project, parts: Sequence[Path] = ()) -> History:
    """Read everything once.

    Args:
        root: the project's root.
        parts: collected files (``collect.Collection.parts``).

    Raises:
        DataError: a file, column or value is not what the project says; it is named, with what was found and a hint.
    """
    data = project.data
    paths = expand(root, data.files)
    named = [(shown(path, root), read_file(path, shown(path, root))) for path in paths]
    whole = concat(named)
    where = named[0][0] if len(named) == 1 else f"data.files ({len(named)} files)"
    require(whole, _settings(data), where)
    require(whole, [("gates.fairness.columns", name) for name in project.gates.fairness.columns], where)
    whole = with_target(whole, project, where)
    looked_at = {*data.slices, *project.gates.fairness.columns}
    kept = [name for name in whole.column_names if name not in data.ignore or name in looked_at]
    features = _features(whole, kept, project, where)
    table, repeated = whole.select(kept), _repeats(row_hashes(whole))
    at = seconds(table[data.time], data.time, where, "data.time")
    known = _known_at(table, at, data, where)
    notes: tuple[str, ...] = ()
    if parts:
        common = [name for name in kept if name != data.label_time]
        more, more_known, notes = _collected(parts, table, project)
        hashes = np.concatenate([row_hashes(table.select(common)), row_hashes(more.select(common))])
        repeated = np.concatenate([repeated, _repeats(hashes)[len(repeated) :]])
        at = np.concatenate([at, seconds(more[data.time], data.time, "data/production", "data.time")])
        known = np.concatenate([known, more_known])
        table = pa.concat_tables([table, more], promote_options="permissive")
    labelled = np.asarray(pc.is_valid(table[data.target]).to_numpy(zero_copy_only=False))
    _check_times(at[labelled], data.time, where)
    keep = labelled & ~repeated
    return History(
        table=(table if keep.all() else table.filter(pa.array(keep))).combine_chunks(),
        features=tuple(features),
        at=at[keep],
        known_at=known[keep],
        duplicates=int((repeated & labelled).sum()),
        unlabelled=int((~labelled).sum()),
        notes=notes,
    )


def _settings(data: Data) -> list[tuple[str, str]]:
    named = [("data.time", data.time), ("data.target", data.target)]
    named += [("data.label_time", data.label_time)] if data.label_time else []
    named += [("data.entity", data.entity)] if data.entity else []
    named += [("data.slices", name) for name in data.slices]
    return named + [("data.ignore", name) for name in data.ignore]


def _features(table: pa.Table, kept: list[str], project: Project, where: str) -> list[str]:
    features = [name for name in kept if name not in project.never_features]
    if not features:
        raise DataError(f"{where} has no feature columns: all are target, time, entity, label time or in data.ignore")
    for name in features:
        kind = table.schema.field(name).type
        if not (
            pa.types.is_boolean(kind) or kind in (pa.int64(), pa.float64(), pa.string()) or pa.types.is_timestamp(kind)
        ):
            hint = "features are numbers, texts, true/false or times; put it into data.ignore or convert it"
            raise DataError(f"column '{name}' of {where} is {kind}: {hint}")
    return features


def with_target(table: pa.Table, project: Project, where: str) -> pa.Table:
    """The table with its target as bool, int64 or string (classification) or float64 (regression)."""
    name = project.data.target
    column, kind = table[name], table.schema.field(name).type
    if project.task == "regression":
        if kind not in (pa.int64(), pa.float64()):
            raise DataError(f"column '{name}' (data.target) of {where} is {kind}; task 'regression' needs numbers")
        column = column.cast(pa.float64(), safe=False)
        if pc.any(pc.is_inf(column)).as_py():
            raise DataError(f"column '{name}' (data.target) of {where} has infinite values")
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    elif pa.types.is_floating(kind):
        column = _whole_numbers(column, name, where)
    elif not (pa.types.is_boolean(kind) or kind in (pa.int64(), pa.string())):
        raise DataError(
            f"column '{name}' (data.target) of {where} is {kind}; classes are true/false, integers or texts"
        )
    return table.set_column(table.column_names.index(name), name, column)


def _whole_numbers(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    odd = column.filter(pc.not_equal(column, pc.round(column)))
    if len(odd):
        found = f"{odd[0].as_py():g}"
        raise DataError(
            f"column '{name}' (data.target) of {where} has {found}; with numbers like this, is the task regression?"
        )
    return column.cast(pa.int64())


def row_hashes(table: pa.Table) -> npt.NDArray[np.uint64]:
    """One hash for each row; equal rows have equal hashes (times and missing values included)."""
    import pandas as pd

    total = np.zeros(table.num_rows, np.uint64)
    for position, name in enumerate(table.column_names):
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        if pa.types.is_nested(column.type):
            column = pc.cast(pa.chunked_array([pa.array([str(value) for value in column.to_pylist()])]), pa.string())
        if pa.types.is_string(column.type):
            encoded = column.combine_chunks().dictionary_encode()
            levels = pd.util.hash_array(np.array([*encoded.dictionary.to_pylist(), ""], dtype=object), categorize=False)
            codes = pc.fill_null(encoded.indices, len(levels) - 1).to_numpy(zero_copy_only=False)
            hashed = levels[codes]
        else:
            numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            hashed = pd.util.hash_array(np.ascontiguousarray(numbers, dtype=np.float64))
        total = total * np.uint64(1_000_003) + hashed.astype(np.uint64) + np.uint64(position)
    return total


def first_of_each(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Rows that no earlier row is equal to."""
    return ~_repeats(row_hashes(table))


def _repeats(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Every row but the first of each hash."""
    _, first = np.unique(hashes, return_index=True)
    repeated = np.ones(len(hashes), bool)
    repeated[first] = False
    return repeated


def _collected(
    parts: Sequence[Path], like: pa.Table, project: Project
) -> tuple[pa.Table, npt.NDArray[np.float64], tuple[str, ...]]:
    """Collected rows with the files' columns, when their labels became known, and notes."""
    data, notes, arrays = project.data, [], {}
    raw = plain(concatenate([read_file(part, part.name) for part in parts]))
    raw = raw.take(pa.array(_first_ids(raw)))
    label_time = names_of(data).label_time
    for name in like.column_names:
        kind = like.schema.field(name).type
        if name not in raw.column_names:
            arrays[name] = pa.nulls(raw.num_rows, kind)
            notes.append(f"column '{name}' is not in the prediction log: missing in {raw.num_rows:,} collected rows")
        elif name == data.target and project.task == "classification":
            arrays[name] = classes_of_text(raw[name], kind)
            if strange := arrays[name].null_count - raw[name].null_count:
                notes.append(f"{strange:,} labels of production are not of type {kind} and are left out")
        else:
            arrays[name] = _cast(raw[name], kind, name)
    return pa.table(arrays), seconds(raw[label_time], label_time, "data/production", "label time"), tuple(notes)


def _first_ids(table: pa.Table) -> npt.NDArray[np.intp]:
    codes = table[ID].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return np.sort(np.unique(codes, return_index=True)[1])


def _cast(column: pa.ChunkedArray, kind: pa.DataType, name: str) -> pa.ChunkedArray:
    """A collected column in the files' type, or as float64 where the files have whole numbers and production others."""
    if column.type == kind:
        return column
    try:
        if pa.types.is_timestamp(kind) and column.type == pa.float64():
            return pc.multiply(column, 1e6).cast(pa.int64(), safe=False).cast(kind)
        if kind == pa.int64() and column.type == pa.float64():
            whole = pc.all(pc.equal(column, pc.round(column))).as_py()
            return column.cast(kind) if whole else column
        return column.cast(kind)
    except pa.ArrowException as error:
        raise DataError(
            f"column '{name}' is {column.type} in data/production and {kind} in data.files: {error}; "
            "the model's inputs and the files must have the same types"
        ) from error


def classes_of_text(text: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Classes from their text in the log; null where the text is no class of that type.

    >>> classes_of_text(pa.chunked_array([["true", "late"]]), pa.bool_()).to_pylist()
    [True, None]
    """
    text = text.cast(pa.string())
    if pa.types.is_boolean(kind):
        return pc.equal(pc.index_in(text, value_set=pa.array(["false", "true"])), 1)
    if kind == pa.int64():
        fits = pc.match_substring_regex(text, r"^-?\d{1,18}$")
        return pc.if_else(fits, text, pa.scalar(None, pa.string())).cast(pa.int64())
    return text


def _check_times(at: npt.NDArray[np.float64], name: str, where: str) -> None:
    missing = np.flatnonzero(~np.isfinite(at))
    if len(missing):
        raise DataError(
            f"column '{name}' (data.time) of {where} is missing in {len(missing):,} of {len(at):,} labelled rows "
            f"(first: labelled row {missing[0] + 1}); every row needs its time"
        )


def _known_at(table: pa.Table, at: npt.NDArray[np.float64], data: Data, where: str) -> npt.NDArray[np.float64]:
    if data.label_time is None:
        return at + data.label_delay
    return seconds(table[data.label_time], data.label_time, where, "data.label_time")

"""Does the data have what the project file says? All problems at once, each at the line of its setting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import ConfigError, Problem
from trimtab.project.explain import did_you_mean, dotted, line_of

if TYPE_CHECKING:
    import pyarrow as pa

    from trimtab.project.settings import Project

Place = tuple[str | int, ...]
_MANY_CLASSES = 100


def check_data(project: Project, sample: pa.Table, source: str, file: Path | None = None) -> None:
    """Compare the project with the data's columns and its first rows.

    Args:
        project: the settings.
        sample: first rows of the data; may be empty (then only columns and types are looked at).
        source: what to call the data in problems, e.g. ``data/flights.parquet``.
        file: the project file, for the lines of the settings.

    Raises:
        ConfigError: with every problem.
    """
    found = [*_names(project, sample.schema, source)]
    if not found:
        found = [
            *_times(project, sample),
            *_target(project, sample),
            *_features(project, sample.schema),
        ]
    if not found:
        return
    document = _document(file)
    name = file.name if file is not None else "trimtab.yaml"
    raise ConfigError(
        [
            Problem(name, line_of(document, place) if document is not None else None, dotted(place), message, hint)
            for place, message, hint in found
        ]
    )


Found = tuple[Place, str, str]


def _document(file: Path | None) -> Any:
    if file is None:
        return None
    from ruamel.yaml import YAML

    return YAML(typ="rt").load(file)


def _named(project: Project) -> Iterator[tuple[Place, str]]:
    """Every column that the project names."""
    data = project.data
    for role in ("time", "target", "label_time", "entity"):
        column = getattr(data, role)
        if column is not None:
            yield ("data", role), column
    for role in ("slices", "ignore"):
        for i, column in enumerate(getattr(data, role)):
            yield ("data", role, i), column
    for i, column in enumerate(project.gates.fairness.columns):
        yield ("gates", "fairness", "columns", i), column
    for i, column in enumerate(project.gates.leakage.known):
        yield ("gates", "leakage", "known", i), column


def _names(project: Project, schema: pa.Schema, source: str) -> Iterator[Found]:
    for place, column in _named(project):
        if column not in schema.names:
            yield place, f"column '{column}' is not in {source}", did_you_mean(column, schema.names)
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        yield ("data", "files"), f"{source} has columns of the same name: {', '.join(twice)}", ""


def _times(project: Project, sample: pa.Table) -> Iterator[Found]:
    import pyarrow as pa

    for role in ("time", "label_time"):
        column = getattr(project.data, role)
        if column is None:
            continue
        kind = sample.schema.field(column).type
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            example = _example(sample, column)
            hint = f"make it a time, e.g. frame['{column}'] = pandas.to_datetime(frame['{column}'])"
            yield ("data", role), f"column '{column}' is {type_words(kind)}{example}, not a time", hint
        elif role == "time" and sample.num_rows and sample[column].null_count:
            missing = sample[column].null_count
            yield ("data", role), f"column '{column}' is missing in {missing} of the first {sample.num_rows} rows", ""


def _target(project: Project, sample: pa.Table) -> Iterator[Found]:
    import pyarrow as pa

    column, task = project.data.target, project.task
    kind = sample.schema.field(column).type
    number = type_words(kind) in ("a number", "a whole number")
    if task == "regression":
        if not number:
            words = f"column '{column}' is {type_words(kind)}{_example(sample, column)}; regression predicts a number"
            yield ("data", "target"), words, "task: classification predicts one of some classes"
        return
    if not (number or pa.types.is_boolean(kind) or _is_text(kind)):
        yield ("data", "target"), f"column '{column}' is {type_words(kind)}; classes are text, numbers or booleans", ""
        return
    classes = sample[column].drop_null().unique().to_pylist()
    if len(classes) > _MANY_CLASSES and number and not all(float(value).is_integer() for value in classes):
        words = f"column '{column}' has {len(classes)} different values in the first {sample.num_rows} rows"
        yield ("data", "target"), words, "task: regression predicts a number"
    positive = project.data.positive
    if positive is not None and len(classes) > 1:
        if not any(positive == c and isinstance(positive, bool) == isinstance(c, bool) for c in classes):
            shown = ", ".join(_yaml(c) for c in sorted(classes, key=str)[:10])
            yield ("data", "positive"), f"'{_yaml(positive)}' is not a class of '{column}'", f"classes: {shown}"
        elif len(classes) > 2:
            yield ("data", "positive"), f"has no effect with {len(classes)} classes", "it is for two"


def _features(project: Project, schema: pa.Schema) -> Iterator[Found]:
    features = [name for name in schema.names if name not in project.never_features]
    if not features:
        yield ("data",), "no column is left as a feature", f"there is {', '.join(schema.names)}"
    for name in features:
        if is_reserved(name, schema.field(name).type):
            hint = "rename it, or add it to data.ignore"
            yield ("data",), f"column '{name}' has a name that the collected rows of production use", hint
        kind = schema.field(name).type
        if not is_feature_type(kind):
            yield (
                ("data",),
                f"column '{name}' is {type_words(kind)}, which cannot be a feature",
                "add it to data.ignore",
            )


def is_feature_type(kind: pa.DataType) -> bool:
    """Numbers, booleans, text and times."""
    import pyarrow as pa

    t = pa.types
    tests = (t.is_boolean, t.is_integer, t.is_floating, t.is_decimal, t.is_timestamp, t.is_date)
    return any(test(kind) for test in tests) or _is_text(kind)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    t = pa.types
    return bool(t.is_string(inner) or t.is_large_string(inner) or t.is_string_view(inner))


def type_words(kind: pa.DataType) -> str:
    """A column type in plain words: ``text``, ``a whole number``, ``a number``, ``true or false``, ``a time``."""
    import pyarrow as pa

    t = pa.types
    if _is_text(kind):
        return "text"
    tests = (
        (t.is_boolean, "true or false"),
        (t.is_integer, "a whole number"),
        (t.is_floating, "a number"),
        (t.is_decimal, "a number"),
        (t.is_timestamp, "a time"),
        (t.is_date, "a date"),
        (t.is_null, "empty"),
    )
    return next((words for test, words in tests if test(kind)), f"of type {kind}")


def _example(sample: pa.Table, column: str) -> str:
    values = sample[column].drop_null()
    return f" (e.g. {values[0].as_py()!r})" if len(values) else ""


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_reserved(name: str, kind: pa.DataType) -> bool:
    """Whether a feature would meet a column that rows collected in production have besides the inputs. A moment named
    ``label_time`` is what that column holds.
    """
    import pyarrow.types as t

    return name == "prediction_id" or (name == "label_time" and not t.is_temporal(kind))

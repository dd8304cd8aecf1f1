"""What the columns are, guessed from what was seen, each guess with its reason. ``trimtab init`` writes them down."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.core.domain.errors import NotFoundError, UserError
from trimtab.core.domain.times import DAY_S, duration_text
from trimtab.core.gates.leakage import ColumnFacts, Finding, column_finding, findings
from trimtab.project import leaks
from trimtab.project.check import is_feature_type, is_reserved, type_words
from trimtab.project.explain import did_you_mean
from trimtab.project.tables import separator_hint

if TYPE_CHECKING:
    import pyarrow as pa

    from trimtab.project.inspect import Column, Look

TELLING = 0.9
"""AUROC or R2 of a column alone: worth a note."""
LABEL_TIME = re.compile(r"label|outcome|known|resolved|settled", re.IGNORECASE)
EVENT_TIME = re.compile(r"event|^time|timestamp|^date|^ts$|^ds$|_at$", re.IGNORECASE)
ENTITY = re.compile(r"(^|_)(id|num|key|user|customer|account|device|machine)$|[a-z]Id$|num$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Noted:
    """A column and why it is treated as it is."""

    column: str
    why: str


@dataclass(frozen=True, slots=True)
class Guess:
    """Everything ``trimtab init`` found out."""

    time: Noted
    target: Noted
    task: str
    positive: Any = None
    label_time: Noted | None = None
    ignore: tuple[Noted, ...] = ()
    entities: tuple[Noted, ...] = ()
    """Candidates, the best first."""
    slices: tuple[Noted, ...] = ()
    features: tuple[Noted, ...] = ()
    block_s: float = DAY_S
    block_why: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)
    """What a person should look at."""


def guess(look: Look, target: str, time: str | None) -> Guess:
    """Roles of all columns.

    Args:
        look: of ``trimtab.project.inspect.look``.
        target: the column to predict.
        time: the column with the event time; None: guessed.

    Raises:
        NotFoundError: a column that is not there.
        UserError: no column holds times, or the target cannot be one.
    """
    for name in (target, *([time] if time else [])):
        if name not in look.columns:
            raise NotFoundError(
                f"column '{name}' is not in {look.files[0].name}; {did_you_mean(name, list(look.columns))}"
                f"{separator_hint(list(look.columns))}"
            )
    when = event_time(look, target, time)
    task, what = _task(look, look.columns[target])
    label, later = _label_time(look, when.column, target)
    taken = {when.column, target, *([label.column] if label else []), *(noted.column for noted in later)}
    unfit = [*_unfit(look, taken)]
    taken |= {noted.column for noted in unfit}
    facts = _facts(look, target, when.column, task, taken)
    found, easy = findings(facts, target=target, classification=task == "classification")
    telling = [] if easy else [Noted(finding.column, finding.why) for finding in found]
    suspects = _suspects(facts, telling, target, task) if not easy else [_easy(found, target)]
    taken |= {noted.column for noted in telling}
    entities = _entities(look, taken)
    features = [Noted(name, _described(look.columns[name])) for name in look.columns if name not in taken]
    if not features:
        raise UserError(
            "no column is left as a feature: "
            + ("; ".join(f"{n.column} {n.why}" for n in [*unfit, *telling]) or f"there is {', '.join(look.columns)}")
        )
    block_s, block_why = _block(look, look.columns[when.column])
    return Guess(
        time=when,
        target=what,
        task=task,
        positive=_positive(look, target) if task == "classification" else None,
        label_time=label,
        ignore=(*later, *unfit, *telling),
        entities=tuple(entities),
        slices=tuple(_slices(look, [noted.column for noted in features])),
        features=tuple(features),
        block_s=block_s,
        block_why=block_why,
        notes=tuple(_notes(look, target, telling) + suspects),
    )


def _is_time(column: Column) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(column.type) or pa.types.is_date(column.type))


def event_time(look: Look, target: str, named: str | None) -> Noted:
    """The column with the time of the event: as named, or the likeliest.

    Raises:
        UserError: the named column holds no times, or none does.
    """
    if named is not None:
        column = look.columns[named]
        if not _is_time(column):
            example = look.sample[named].drop_null()[0].as_py() if column.nulls < column.rows else None
            unit = _epoch_unit(example)
            how = f"frame['{named}'], unit='{unit}'" if unit else f"frame['{named}']"
            hint = f"make it one, e.g. frame['{named}'] = pandas.to_datetime({how})"
            raise UserError(f"column '{named}' is {type_words(column.type)} (e.g. {example!r}), not a time; {hint}")
        if column.nulls:
            raise UserError(
                f"column '{named}' is missing in {column.nulls:,} of {column.rows:,} rows; every row needs a time"
            )
        return Noted(named, f"{_span(column)}, as you said")
    usable = [
        column for column in look.columns.values() if _is_time(column) and not column.nulls and column.name != target
    ]
    if not usable:
        raise UserError(_no_time(look))
    best = max(usable, key=lambda c: (_names_event(c), c.ascending, -c.low.toordinal(), c.distinct))
    why = _span(best)
    others = ", ".join(c.name for c in usable if c is not best and _names_event(c))
    if others:
        why += f"; when the prediction is made, not {others}?"
    return Noted(best.name, why)


def _names_event(column: Column) -> int:
    """2: named like an event time; 0: like a label time; 1: neither."""
    if LABEL_TIME.search(column.name):
        return 0
    return 2 if EVENT_TIME.search(column.name) else 1


def _no_time(look: Look) -> str:
    text = f"no column of {look.files[0].name} holds a time in every row"
    partly = [f"{c.name} is missing in {c.nulls:,} rows" for c in look.columns.values() if _is_time(c)]
    like = [
        name
        for name, column in look.columns.items()
        if type_words(column.type) == "text" and _reads_as_time(look, name)
    ]
    if partly:
        return f"{text}: {', '.join(partly)}"
    if like:
        return f"{text}; '{like[0]}' looks like one: frame['{like[0]}'] = pandas.to_datetime(frame['{like[0]}'])"
    return f"{text}; windows, splits and drift need one: add a column with the time of each row"


def _reads_as_time(look: Look, name: str) -> bool:
    from datetime import datetime

    values = look.sample[name].drop_null().slice(0, 20).to_pylist()
    try:
        return bool(values) and all(datetime.fromisoformat(value) for value in values)
    except ValueError:
        return False


def _span(column: Column) -> str:
    return f"{column.low:%Y-%m-%d} to {column.high:%Y-%m-%d}"


def _task(look: Look, column: Column) -> tuple[str, Noted]:
    """Task and description of the target.

    Raises:
        UserError: the target is constant, always missing, or of a type that cannot be predicted.
    """
    kind, name = column.type, column.name
    known = look.sample[name].drop_null()
    if not len(known) or column.distinct < 2:
        found = "always missing" if not len(known) else f"always {known[0].as_py()!r}"
        raise UserError(f"target '{name}' is {found}; there is nothing to learn")
    words = type_words(kind)
    if not is_feature_type(kind) or _is_time(column):
        raise UserError(f"target '{name}' is {words}; it must be a number, text, or true or false")
    number = words in ("a number", "a whole number")
    whole = number and all(float(value).is_integer() for value in known.slice(0, 5000).to_pylist())
    if number and not (whole and column.distinct <= 20):
        low, high = column.low, column.high
        return "regression", Noted(name, f"a number from {low:g} to {high:g}" + _unlabelled(column))
    if column.distinct > 0.5 * len(known):
        raise UserError(
            f"target '{name}' is {words} with {column.distinct:,} different values in {len(known):,} rows; "
            "is this the target, and are these all rows?"
        )
    counts = sorted(known.value_counts().to_pylist(), key=lambda item: -item["counts"])
    shares = ", ".join(f"{_text(item['values'])} {100 * item['counts'] / len(known):.3g} %" for item in counts[:6])
    more = f" and {len(counts) - 6} more classes" if len(counts) > 6 else ""
    return "classification", Noted(name, shares + more + _unlabelled(column))


def _unlabelled(column: Column) -> str:
    return f"; not labelled: {column.nulls:,} of {column.rows:,} rows" if column.nulls else ""


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _positive(look: Look, target: str) -> Any:
    """The second class in sorted order, for two classes."""
    classes = sorted(look.sample[target].drop_null().unique().to_pylist())
    return classes[1] if len(classes) == 2 else None


def _label_time(look: Look, time: str, target: str) -> tuple[Noted | None, list[Noted]]:
    """The time when the label became known, and the other times (never features)."""
    start = _seconds(look.sample[time])
    after: list[Noted] = []
    others: list[Noted] = []
    for column in look.columns.values():
        if not _is_time(column) or column.name in (time, target):
            continue
        delay = _seconds(look.sample[column.name]) - start
        delay = delay[np.isfinite(delay)]
        if len(delay) and (delay >= 0).mean() >= 0.99 and delay.max() > 0:
            median, most = np.quantile(delay, [0.5, 0.9])
            why = f"{duration_text(float(median))} after {time} (median; 90 % within {duration_text(float(most))})"
            after.append(Noted(column.name, why))
        else:
            others.append(Noted(column.name, "a moment never comes back; derive an hour, a weekday or an age from it"))
    label = next((noted for noted in after if LABEL_TIME.search(noted.column)), None)
    later = [Noted(n.column, f"known only {n.why}") for n in after if n is not label]
    return label, [*later, *others]


def _epoch_unit(example: Any) -> str | None:
    """The unit of a number that is a time since 1970, for a year from 1990 to 2100; None for any other value."""
    if isinstance(example, bool) or not isinstance(example, int | float):
        return None
    low, high = 631_152_000.0, 4_102_444_800.0
    units = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
    return next((unit for unit, scale in units.items() if low <= example / scale <= high), None)


def _seconds(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    micros = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None))).cast(pa.int64())
    return np.asarray(pc.fill_null(micros.cast(pa.float64(), safe=False), float("nan"))) / 1e6


def _unfit(look: Look, taken: set[str]) -> Sequence[Noted]:
    """Columns that cannot be features: identifiers, constants, unknown types."""
    found = []
    rows = look.sample.num_rows
    for column in look.columns.values():
        if column.name in taken:
            continue
        present = rows - look.sample[column.name].null_count
        words = type_words(column.type)
        if is_reserved(column.name, column.type):
            found.append(Noted(column.name, "a name that the collected rows of production use: rename it to use it"))
        elif not is_feature_type(column.type):
            found.append(Noted(column.name, f"is {words}, which cannot be a feature"))
        elif column.distinct == 0 or (column.distinct == 1 and not column.nulls):
            found.append(Noted(column.name, "always missing" if not column.distinct else "always the same"))
        elif present >= 50 and words == "text" and column.distinct > 0.9 * present:
            found.append(Noted(column.name, "an identifier: nearly every row has its own"))
        elif present >= 50 and words == "a whole number" and column.distinct == present and _counts_up(column):
            found.append(Noted(column.name, "an identifier: a different whole number in every row"))
    return found


def _counts_up(column: Column) -> bool:
    """A running number, or one that is named like a key: other whole numbers may differ by chance."""
    return column.ascending or ENTITY.search(column.name) is not None


def _facts(look: Look, target: str, time: str, task: str, taken: set[str]) -> list[ColumnFacts]:
    """How well each column alone tells the target; empty with too few rows to say."""
    known = look.sample.filter(look.sample[target].is_valid())
    names = [name for name in look.columns if name not in taken]
    if known.num_rows < leaks.ROWS_MIN:
        return []
    classification = task == "classification"
    others = leaks.Others(known, names)
    found = [
        leaks.column_facts(name, known[name], known[target], classification=classification, others=others)
        for name in names
    ]
    if known.num_rows < look.rows:  # rows between are left out: nothing can be said about the row before
        return found
    rows = known.sort_by(time)
    return [_with_memory(facts, rows, target, classification) for facts in found]


def _with_memory(facts: ColumnFacts, rows: pa.Table, target: str, classification: bool) -> ColumnFacts:
    """For a column that would be called a leak: whether it is a memory of earlier rows."""
    if column_finding(facts, target=target, classification=classification) is None:
        return facts
    return replace(facts, lag_skill=leaks.remembered(rows[facts.name], rows[target], classification=classification))


def _suspects(facts: Sequence[ColumnFacts], telling: Sequence[Noted], target: str, task: str) -> list[str]:
    """Notes on columns that are used and tell much."""
    left_out = {noted.column for noted in telling}
    strong = [each for each in facts if each.skill > TELLING and each.name not in left_out]
    return [f"{each.name} {_tells(each, target, task)}" for each in strong]


def _tells(facts: ColumnFacts, target: str, task: str) -> str:
    how = f"(AUROC {facts.skill:.3f})" if task == "classification" else f"(R2 {facts.skill:.3f})"
    if facts.lag_skill is not None and facts.lag_skill > facts.skill:
        return f"tells {target} {how} as a memory of earlier rows, so it is used"
    return f"alone tells {target} {how}: known only afterwards?"


def _easy(found: Sequence[Finding], target: str) -> str:
    names = ", ".join(finding.column for finding in found)
    return (
        f"most columns tell {target} by themselves ({names}), so none is left out: is it this easy, or are they known "
        "only afterwards? The leakage gate will ask: put what is known only afterwards into data.ignore"
    )


def _entities(look: Look, taken: set[str]) -> list[Noted]:
    """Columns that may name who or what a row is about: many values, each in several rows."""
    rows = look.sample.num_rows
    found = []
    for column in look.columns.values():
        if column.name in taken or type_words(column.type) not in ("text", "a whole number"):
            continue
        named = ENTITY.search(column.name) is not None
        if named and 20 <= column.distinct <= 0.5 * rows:
            per = rows / column.distinct
            found.append(
                (column.distinct, Noted(column.name, f"{column.distinct:,} values, about {per:,.0f} rows each"))
            )
    return [noted for _, noted in sorted(found, key=lambda item: -item[0])]


def _slices(look: Look, features: list[str]) -> list[Noted]:
    """Text columns of few values: groups of rows that a good average may hide."""
    out = []
    for name in features:
        column = look.columns[name]
        if type_words(column.type) in ("text", "true or false") and 2 <= column.distinct <= 12:
            out.append(Noted(name, f"{column.distinct} values"))
    return out


def _block(look: Look, column: Column) -> tuple[float, str]:
    """A day where there are rows enough in one, otherwise a week, otherwise 30 days."""
    days = max(
        (column.high - column.low).total_seconds() / DAY_S
        if hasattr(column.high, "hour")
        else float((column.high - column.low).days),
        1.0,
    )
    per_day = look.rows / days
    for block_days in (1, 7, 30):
        if per_day * block_days >= 200:
            break
    return block_days * DAY_S, f"{look.rows:,} rows in {days:,.0f} days, {per_day:,.0f} a day"


def _described(column: Column) -> str:
    words = type_words(column.type)
    missing = f", missing {100 * column.missing:.2g} %" if column.nulls else ""
    if words == "text":
        return f"{words}, {column.distinct:,} values{missing}"
    if column.low is not None and words in ("a number", "a whole number"):
        return f"{words}, {column.low:g} to {column.high:g}{missing}"
    return f"{words}{missing}"


def _notes(look: Look, target: str, telling: Sequence[Noted]) -> list[str]:
    notes = []
    column = look.columns[target]
    if telling:
        notes.append(f"not used, since it may be known only afterwards: {', '.join(noted.column for noted in telling)}")
    if column.distinct == 2:
        counts = look.sample[target].drop_null().value_counts().to_pylist()
        rarest = min(item["counts"] for item in counts) / max(1, sum(item["counts"] for item in counts))
        if rarest < 0.02:
            notes.append(
                f"the rarer class is {100 * rarest:.2g} % of the rows: accuracy says little here, log loss does"
            )
    if look.rows < 2000:
        notes.append(f"{look.rows:,} rows are few: gates will often say 'inconclusive'")
    return notes

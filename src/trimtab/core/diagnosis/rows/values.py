"""Values that are none: missing, stand-ins for missing, stuck, or of another type."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, Cells, Codes, Flags, category, numbers
from trimtab.core.diagnosis.rows.coherence import Bond
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.when import chance, scan
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import Categorical, Column, Numbers, take_rows

STAND_INS = frozenset(
    {
        "",
        "?",
        "-",
        "--",
        ".",
        "na",
        "n/a",
        "nan",
        "null",
        "none",
        "nil",
        "missing",
        "unknown",
        "undefined",
        "unspecified",
    }
)
CODES = (-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0, -100.0, 0.0)
"""Numbers that stand for 'not known'."""
COMMON = 0.2
"""Share of a value in the reference from which a run of it may be a batch of like rows."""
SHARE_MIN = 0.03
"""A smaller share of rows is no flood."""
STEADY = 0.01
"""Where more is missing by nature, what is missing also changes by nature."""
SHARE_WANDERS = 0.05
"""There a flood is at least so many rows more, and two and a half times the most before."""


def missing(case: Case) -> list[Finding]:
    """Far more rows without a value than any block of the reference had, stand-ins included."""
    out = []
    for name, cells in case.cells.items():
        now = cells.current == cells.missing
        stand_in, what = _stand_in(case, name)
        flags = now | stand_in
        before = cells.reference == cells.missing
        if float(stand_in.mean()) > SHARE_MIN:  # a new value is told from none, however much is missing by nature
            flags, before = stand_in, np.zeros_like(before)
        if float(flags.mean()) < SHARE_MIN / 4:
            continue
        change = scan(before.astype(np.int64), flags.astype(np.int64), 2)
        share = float(flags[change.first : change.end].mean())
        usual = max(
            record(before, change.end - change.first), float(flags[: change.first].mean()) if change.first else 0
        )
        limit = usual + (SHARE_MIN if usual < STEADY else max(SHARE_WANDERS, 1.5 * usual))
        if not change.real or share <= limit:
            continue
        sure = confidence(change.ratio, 1.0) * confidence(share - usual, (limit - usual) / (2 if usual < STEADY else 1))
        text = f"{name}: {share:.0%} of the rows without a value{what}, at most {usual:.1%} before"
        out.append(
            Finding(Kind.DATA_FAULT, "MissingFlood", (name,), change.first, change.end, sure, text, share, limit)
        )
    return out


def record(flags: Flags, rows: int) -> float:
    """The largest share among runs of the reference with so many rows (at least eight runs)."""
    size = max(min(rows, len(flags) // 8), 1)
    ends = np.arange(size, len(flags) + 1, max(size // 2, 1))
    sums = np.concatenate([[0], np.cumsum(flags)])
    return float(((sums[ends] - sums[ends - size]) / size).max(initial=0.0))


def _stand_in(case: Case, name: str) -> tuple[Flags, str]:
    """Rows with one new value that is known to stand for 'missing'."""
    reference, current = case.reference[name], case.current[name]
    none = np.zeros(len(current), dtype=np.bool_)
    if isinstance(current, Categorical):
        had = set(reference.levels) if isinstance(reference, Categorical) else set()
        new = [at for at, level in enumerate(current.levels) if level.strip().lower() in STAND_INS and level not in had]
        flags = np.isin(current.codes, new) if new else none
        return flags, f" ({current.levels[new[0]]!r})" if new and flags.any() else ""
    reference = numbers(reference)
    for code in CODES:
        flags = current == code
        if flags.mean() > SHARE_MIN and (reference == code).mean() < 0.001 and not _fits_between(reference, code):
            if code == 0.0 and _kind_of_its_own(case, name, flags):
                continue
            return flags, f" ({code:g})"
    return none, ""


def _kind_of_its_own(case: Case, name: str, flags: Flags) -> bool:
    """Zeros of a count or a code that are a value like the others: further new values came with them, or their rows
    differ from the rest of their time in other columns, too. What is missing by accident is missing in any row."""
    cells = case.cells[name]
    if not cells.by_level:
        return False
    others = cells.outside(cells.current) & ~flags
    if float(others.mean()) > 0.3 * float(flags.mean()):
        return True
    rows = np.flatnonzero(flags)
    time = (np.arange(len(flags)) >= rows[0]) & (np.arange(len(flags)) <= rows[-1])
    for other, each in case.cells.items():
        if other == name:
            continue
        inside = np.bincount(each.current[flags & time], minlength=each.size).astype(np.float64)
        outside = np.bincount(each.current[~flags & time], minlength=each.size).astype(np.float64)
        gain, freedom = apart(inside, outside)
        if freedom and gain > 2 * chance(freedom, 10 * len(case.cells), 1e-4):
            return True
    return False


def apart(a: Numbers, b: Numbers) -> tuple[float, int]:
    """G statistic of two samples over the same cells, and its degrees of freedom."""
    both = a + b
    used = both > 0
    if not a.sum() or not b.sum():
        return 0.0, 0
    of = both[used] / both.sum()

    def part(counts: Numbers) -> float:
        filled = counts[used] > 0
        share = counts[used][filled] / counts.sum()
        return float(2 * (counts[used][filled] * np.log(share / of[filled])).sum())

    return part(a) + part(b), int(used.sum()) - 1


def _fits_between(reference: Numbers, value: float) -> bool:
    """The value lies inside of the reference's usual range, where it is a number like any other."""
    known = reference[np.isfinite(reference)]
    if not known.size:
        return False
    low, high = np.quantile(known, [0.02, 0.98])
    return bool(low <= value <= high) and value not in (-1.0, -999.0, -9999.0, 999.0, 9999.0)


def stuck(case: Case, tie: Callable[[str], Bond]) -> list[Finding]:
    """One value repeated far longer than ever in the reference, and than chance allows.

    A common value that fits the other columns of its rows is a batch of like rows, not a stuck column.
    """
    out: list[Finding] = []
    for name in sorted(case.cells, key=lambda each: _share_of_run(case, each)):
        now, before = _ranked(case.current[name]), _ranked(case.reference[name])
        first, length = longest_run(now)
        usual = longest_run(before)[1]
        if length < max(30, 0.02 * len(now)):
            continue
        share = _share_of(case.reference[name], case.current[name], first)
        rarity = -length * np.log(min(share + 1 / len(before), 1 - 1e-9))
        limit = max(3.0 * usual, (25 + np.log(len(now))) * length / max(rarity, 1e-9))
        if length <= limit or (share > COMMON and _fits(case, name, first, length, tie)):
            continue
        if share > COMMON and first + length < case.rows and _beside_another(out, first, length):
            continue  # what it would fit is stuck itself
        text = f"{name}: the same value in {length:,} rows on end, at most {usual:,} before"
        sure = confidence(length, limit, 1.5)
        out.append(
            Finding(Kind.DATA_FAULT, "ConstantColumn", (name,), first, first + length, sure, text, float(length), limit)
        )
    return out


def _share_of_run(case: Case, name: str) -> float:
    """The reference's share of the value of the longest run."""
    first, length = longest_run(_ranked(case.current[name]))
    return _share_of(case.reference[name], case.current[name], first) if length else 1.0


def _beside_another(found: list[Finding], first: int, length: int) -> bool:
    return any(each.first < first + length and first < each.end for each in found)


def _fits(case: Case, name: str, first: int, length: int, tie: Callable[[str], Bond]) -> bool:
    """The rows of the run have most of their usual tie; where there is none to ask, and for the most common value, the
    run is over."""
    over = first + length < case.rows
    if over and _share_of(case.reference[name], case.current[name], first) > 0.5:
        return True
    bond = tie(name)
    if not bond.tells:
        return over and _in_batches(case.reference[name])
    rows = np.arange(first, first + length)[:: max(length // 2000, 1)]
    return bond.kept(take_rows(case.current, rows)) > 0.5


def _in_batches(reference: Column) -> bool:
    """Like rows come together by nature: the longest run is far longer than chance would have it."""
    codes = _ranked(reference)
    length, counts = longest_run(codes)[1], np.unique(codes[codes >= 0], return_counts=True)[1]
    common = min(float(counts.max(initial=1)) / max(len(codes), 1), 1 - 1e-9)
    return bool(length > 2 * np.log(max(len(codes), 2)) / -np.log(common))


def _ranked(column: Column) -> Codes:
    """Codes that are equal where values are; missing rows never are."""
    if isinstance(column, Categorical):
        codes = column.codes.astype(np.int64)
    else:
        codes = np.unique(column, return_inverse=True)[1].astype(np.int64)
        codes = np.where(np.isnan(column), -1, codes)
    return codes


def longest_run(codes: Codes) -> tuple[int, int]:
    """(first row, length) of the longest run of equal codes; -1 breaks runs."""
    if not len(codes):
        return 0, 0
    starts = np.flatnonzero(np.concatenate([[True], (codes[1:] != codes[:-1]) | (codes[1:] < 0)]))
    lengths = np.diff(np.append(starts, len(codes)))
    at = int(np.argmax(lengths))
    return int(starts[at]), int(lengths[at])


def _share_of(reference: Column, current: Column, row: int) -> float:
    """The reference's share of the value in this row."""
    if isinstance(current, Categorical):
        reference = category(reference)
        level = current.levels[int(current.codes[row])]
        at = reference.levels.index(level) if level in reference.levels else -2
        return float((reference.codes == at).mean())
    return float((reference == current[row]).mean())


def outside_share(cells: Cells, first: int, end: int) -> float:
    """Share of rows of the stretch with values that the reference did not have."""
    return float(cells.outside(cells.current[first:end]).mean())

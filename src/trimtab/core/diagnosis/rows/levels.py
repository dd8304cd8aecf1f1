"""Categories under other names: renamed, re-coded, or with damaged encoding.

New levels came. Either one old level carries on under the new name (its share is what the new one has), or rows of a
new kind came beside the old ones (every old level shrinks by the same factor). Both are multinomial models of the
stretch; their likelihood ratio decides.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, numbers
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.shift import calendar
from trimtab.core.diagnosis.rows.values import apart, longest_run
from trimtab.core.diagnosis.rows.when import Change, scan
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import Categorical, Numbers

EVIDENCE_MIN = 12.0
"""Nats by which 'renamed' must explain the stretch better than 'came beside'."""
SHARE_MIN = 0.01
WHOLE_MIN = 0.85
"""Share of new levels from which the column is re-coded as a whole."""
DISTINCT_MAX = 200
GONE_MAX = 0.1
"""Share of its rows that a level which goes on under another name may keep."""
RUNS_MIN = 3
"""Times the longest run of one level that a stretch of new ones lasts, at least."""
JUST_MIN = 500
"""Rows just before a stretch that tell how common its levels were."""


def renamed(case: Case, changes: Mapping[str, Change]) -> list[Finding]:
    """Levels that go on under new names."""
    out = []
    for name, own in changes.items():
        change = own if own.real and calendar(case.cells[name]) else _came(case, name)
        counts = None if change is None else counted(case, name, change)
        if change is None or counts is None:
            continue
        now, names = counts.now, counts.names
        new = np.flatnonzero((counts.before == 0) & (now > 0))
        came = float(now[new].sum()) / max(float(now.sum()), 1.0)
        if came < SHARE_MIN:
            continue
        match, evidence = min((_match(old, now, new) for old in (counts.before, counts.just)), key=lambda each: each[1])
        if not _gone(counts, match):
            evidence /= _wander(counts)
        gone = [at for at in np.flatnonzero(counts.before > 0) if _gone(counts, {int(at): int(at)})]
        fresh, had = [names[at] for at in new], [names[at] for at in np.flatnonzero(counts.before > 0)]
        alike = _same_words(fresh, had, 0.6) or _same_words(fresh, [names[at] for at in gone], 0.0)
        whole = came > WHOLE_MIN  # no segment comes without the others
        if alike is None and not whole and (evidence < EVIDENCE_MIN or not match):
            continue
        code = "EncodingDamage" if alike is not None else "RenamedCategories"
        pairs = alike or {names[a]: names[b] for a, b in match.items()} or {"all": names[int(new[0])]}
        told = ", ".join(f"{old!r} -> {fresh!r}" for old, fresh in list(pairs.items())[:3])
        sure = 0.97 if alike is not None or whole else confidence(evidence, EVIDENCE_MIN)
        text = f"{name}: levels go on under other names ({told}); {came:.0%} of the rows"
        out.append(Finding(Kind.DATA_FAULT, code, (name,), change.first, change.end, sure, text, came, SHARE_MIN))
    return out


def _gone(counts: Counts, match: dict[int, int]) -> bool:
    """The old names do not come any more."""
    share = counts.just / max(float(counts.just.sum()), 1.0)
    now = counts.now / max(float(counts.now.sum()), 1.0)
    return bool(match) and all(share[old] > 0 and now[old] < GONE_MAX * share[old] for old in match)


def _wander(counts: Counts) -> float:
    """How many times more than chance the shares of levels differ between the reference and the rows just before."""
    gain, free = apart(counts.before, counts.just)
    return max(gain / max(free, 1), 1.0)


def _came(case: Case, name: str) -> Change | None:
    """The stretch in which levels come that the reference does not have, whatever else the column does."""
    cells = case.cells[name]
    flags = cells.outside(cells.current)
    if not cells.by_level or calendar(cells) or float(flags.mean()) < SHARE_MIN / 4:
        return None
    change = scan(np.zeros(len(cells.reference), dtype=np.int64), flags.astype(np.int64), 2)
    usual = longest_run(cells.reference)[1]  # a month or a batch comes in one piece, and goes
    return change if change.real and change.end - change.first > RUNS_MIN * usual else None


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Rows by value."""

    names: list[str]
    before: Numbers
    """In the reference."""
    just: Numbers
    """In as many rows as the stretch has, just before it: some columns never stand still."""
    now: Numbers


def counted(case: Case, name: str, change: Change) -> Counts | None:
    """Counts by value; None for a number with many values."""
    reference, current = case.reference[name], case.current[name]
    if isinstance(reference, Categorical) and isinstance(current, Categorical):
        names = list(dict.fromkeys([*reference.levels, *current.levels]))
        index = {level: at for at, level in enumerate(names)}
        old = np.array([index[level] for level in reference.levels] + [-1], dtype=np.int64)[reference.codes]
        new = np.array([index[level] for level in current.levels] + [-1], dtype=np.int64)[current.codes]
    else:
        reference, current = numbers(reference), numbers(current)
        values = np.unique(reference[np.isfinite(reference)])
        if len(values) > 30:
            return None
        stretch = current[change.first : change.end]
        values = np.union1d(values, stretch[np.isfinite(stretch)])
        if len(values) > DISTINCT_MAX:
            return None
        names = [f"{value:g}" for value in values]
        old, new = (
            np.where(np.isfinite(each), np.searchsorted(values, each), -1).clip(max=len(values) - 1)
            for each in (reference, current)
        )
    size = max(change.end - change.first, JUST_MIN)
    just = np.concatenate([old[-size:], new[: change.first]])[-size:]
    before, recent, now = (
        np.bincount(codes[codes >= 0], minlength=len(names)).astype(np.float64)
        for codes in (old, just, new[change.first : change.end])
    )
    return Counts(names, before, recent, now)


def _match(before: Numbers, now: Numbers, new: np.ndarray) -> tuple[dict[int, int], float]:
    """Old level -> new level by like shares, and the evidence in nats against 'came beside'."""
    p = before / max(before.sum(), 1.0)
    q = now / max(now.sum(), 1.0)
    lost = p - q
    carried = p.copy()
    match: dict[int, int] = {}
    for at in new[np.argsort(-q[new])]:
        old = [o for o in np.flatnonzero(p > 0) if o not in match and lost[o] >= 0.5 * q[at]]
        if not old or q[at] < 0.002:
            continue
        best = min(old, key=lambda o: abs(lost[o] - q[at]))
        match[int(best)] = int(at)
        carried[at] = min(q[at], p[best])
        carried[best] = max(p[best] - q[at], 0.0)
    if not match:
        return {}, 0.0
    beside = p * (1 - q[new].sum())
    beside[new] = q[new]
    evidence = _nats(now, carried) - _nats(now, beside)
    return match, evidence


def _nats(counts: Numbers, shares_of: Numbers) -> float:
    floor = 0.5 / max(counts.sum(), 1.0)
    mixed = (shares_of + floor) / (shares_of + floor).sum()
    return float((counts * np.log(mixed)).sum())


def _same_words(new: list[str], old: list[str], share: float) -> dict[str, str] | None:
    """New levels that are old ones in another spelling: case, blanks, accents, or bytes read in the wrong encoding;
    None where they are less than this share of the new levels."""
    plain = {_plain(level): level for level in old}
    found = {plain[key]: level for level in new if (key := _plain(level)) in plain}
    for level in new:
        for each in old:
            if level in (
                _damaged(each),
                each.encode("ascii", "replace").decode(),
                each.encode("ascii", "ignore").decode(),
            ):
                found[each] = level
    return found if found and len(found) >= share * len(new) else None


def _plain(level: str) -> str:
    text = unicodedata.normalize("NFKD", level)
    return "".join(letter for letter in text if letter.isalnum()).lower() if any(c.isalnum() for c in text) else level


def _damaged(level: str) -> str:
    """UTF-8 read as Latin-1."""
    return level.encode("utf-8").decode("latin-1")

"""Categories under other names: renamed, re-coded, or with damaged encoding.

New levels came. Either one old level carries on under the new name (its share is what the new one has), or rows of a
new kind came beside the old ones (every old level shrinks by the same factor). Both are multinomial models of the
stretch; their likelihood ratio decides.
"""

from __future__ import annotations

import unicodedata

import numpy as np

from trimtab.core.diagnosis.rows.case import Case, numbers
from trimtab.core.diagnosis.rows.finding import Finding, confidence
from trimtab.core.diagnosis.rows.when import Change
from trimtab.core.domain.diagnosis import Kind
from trimtab.core.profiles.columns import Categorical, Numbers

EVIDENCE_MIN = 12.0
"""Nats by which 'renamed' must explain the stretch better than 'came beside'."""
SHARE_MIN = 0.01
WHOLE_MIN = 0.85
"""Share of new levels from which the column is re-coded as a whole."""
DISTINCT_MAX = 200


def renamed(case: Case, changes: dict[str, Change]) -> list[Finding]:
    """Levels that go on under new names."""
    out = []
    for name, change in changes.items():
        if not change.real:
            continue
        before, now, names = shares(case, name, change)
        if not len(names):
            continue
        new = np.flatnonzero((before == 0) & (now > 0))
        came = float(now[new].sum()) / max(float(now.sum()), 1.0)
        if came < SHARE_MIN:
            continue
        match, evidence = _match(before, now, new)
        alike = _same_words([names[at] for at in new], [names[at] for at in np.flatnonzero(before > 0)])
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


def shares(case: Case, name: str, change: Change) -> tuple[Numbers, Numbers, list[str]]:
    """Counts by value in the reference and in the stretch; nothing for a number with many values."""
    reference, current = case.reference[name], case.current[name]
    stretch = slice(change.first, change.end)
    if isinstance(reference, Categorical) and isinstance(current, Categorical):
        names = list(dict.fromkeys([*reference.levels, *current.levels]))
        index = {level: at for at, level in enumerate(names)}
        old = np.array([index[level] for level in reference.levels] + [0])[reference.codes[reference.codes >= 0]]
        codes = current.codes[stretch]
        new = np.array([index[level] for level in current.levels] + [0])[codes[codes >= 0]]
    else:
        reference, current = numbers(reference), numbers(current)
        known, fresh = reference[np.isfinite(reference)], current[stretch][np.isfinite(current[stretch])]
        values = np.unique(known)
        if len(values) > 30:
            return np.zeros(0), np.zeros(0), []
        values = np.union1d(values, fresh)
        if len(values) > DISTINCT_MAX:
            return np.zeros(0), np.zeros(0), []
        names = [f"{value:g}" for value in values]
        old, new = np.searchsorted(values, known), np.searchsorted(values, fresh)
    size = len(names)
    return np.bincount(old, minlength=size).astype(float), np.bincount(new, minlength=size).astype(float), names


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


def _same_words(new: list[str], old: list[str]) -> dict[str, str] | None:
    """New levels that are old ones in another spelling: case, blanks, accents, or bytes read in the wrong encoding."""
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
    return found if found and len(found) >= 0.6 * len(new) else None


def _plain(level: str) -> str:
    text = unicodedata.normalize("NFKD", level)
    return "".join(letter for letter in text if letter.isalnum()).lower() if any(c.isalnum() for c in text) else level


def _damaged(level: str) -> str:
    """UTF-8 read as Latin-1."""
    return level.encode("utf-8").decode("latin-1")

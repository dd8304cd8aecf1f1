"""From signals to faults: opened by strong evidence, closed when a block looks like the baseline again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.core.diagnosis.jumps import jump_signals
from trimtab.core.diagnosis.result import Block, Fault
from trimtab.core.diagnosis.signals import Flags, Signal, Traffic, signals_of, traffic_of
from trimtab.core.domain.verdict import Severity
from trimtab.core.profiles import Baseline

_EXPLAINS = {
    "AbsentColumn": ("MissingFlood", "ConstantColumn", "UnitChange", "OutOfRange", "SwappedColumns"),
    "WrongType": ("MissingFlood", "ConstantColumn", "UnitChange", "OutOfRange"),
    "MissingFlood": ("ConstantColumn", "UnitChange", "OutOfRange", "SwappedColumns"),
    "ConstantColumn": ("UnitChange", "OutOfRange", "SwappedColumns", "RenamedCategories"),
}
"""A fault of the first kind leaves traces that look like the others, in the same column and blocks."""


def find_faults(
    baseline: Baseline, blocks: Sequence[Block], rows_min: int, now_s: float
) -> tuple[tuple[Fault, ...], Flags]:
    """All faults, oldest first, and the blocks (N,) that stand under one that matters (more than minor)."""
    if not blocks:
        return (), np.zeros(0, dtype=np.bool_)
    traffic = traffic_of(blocks, rows_min, now_s)
    signals = _unexplained(signals_of(baseline, traffic) + jump_signals(baseline, traffic))
    found: list[Fault] = []
    under = np.zeros(len(blocks), dtype=np.bool_)
    for signal in signals:
        for first, end in _spells(signal, traffic):
            fault = _fault(baseline, blocks, signal, first, end)
            found.append(fault)
            if fault.severity is not Severity.MINOR:
                under[first : len(blocks) if end is None else end] = True
    found.sort(key=lambda fault: (fault.since_s, fault.code, fault.features))
    return tuple(found), under


def _unexplained(signals: list[Signal]) -> list[Signal]:
    strong = {(signal.code, at): signal.strong for signal in signals for at in signal.features}
    kept = []
    for signal in signals:
        left = signal.strong.copy()
        for cause, effects in _EXPLAINS.items():
            if signal.code in effects:
                for at in signal.features:
                    left &= ~strong.get((cause, at), np.zeros_like(left))
        if left.any():
            kept.append(
                Signal(signal.code, signal.features, left, signal.sound, signal.value, signal.limit, signal.what)
            )
    return kept


def _spells(signal: Signal, traffic: Traffic) -> list[tuple[int, int | None]]:
    """(first block, first sound block after it or None) of each time the fault stood."""
    out: list[tuple[int, int | None]] = []
    opened: int | None = None
    for at in range(len(signal.strong)):
        if opened is None and signal.strong[at]:
            before = at > 0 and traffic.enough[at - 1] and not signal.sound[at - 1]
            floor = out[-1][1] if out and out[-1][1] is not None else 0
            opened = max(at - 1, floor or 0) if before else at
        elif opened is not None and signal.sound[at]:
            out.append((opened, at))
            opened = None
    if opened is not None:
        out.append((opened, None))
    return out


def _fault(baseline: Baseline, blocks: Sequence[Block], signal: Signal, first: int, end: int | None) -> Fault:
    names = tuple(baseline.layout.features[at].name for at in signal.features)
    spell = slice(first, end)
    value = float(signal.value[spell][signal.strong[spell]].max())
    unseen = [name for at in signal.features for block in blocks[spell] for name, _ in block.profile.names[at]]
    came = f"; new: {', '.join(repr(name) for name in list(dict.fromkeys(unseen))[:3])}" if unseen else ""
    return Fault(
        signal.code,
        names,
        blocks[first].start_s,
        None if end is None else blocks[end].start_s,
        _severity(baseline, names),
        f"{' and '.join(names)}: {signal.what} {value:.3g} > {signal.limit:.3g}{came}",
        value,
        signal.limit,
    )


def _severity(baseline: Baseline, names: tuple[str, ...]) -> Severity:
    """By the weight of the features for the model; moderate where that is unknown."""
    if not baseline.importance:
        return Severity.MODERATE
    fair = 1 / len(baseline.importance)
    weight = max(baseline.importance.get(name, 0.0) for name in names)
    if weight >= fair:
        return Severity.SEVERE
    return Severity.MODERATE if weight >= 0.1 * fair else Severity.MINOR

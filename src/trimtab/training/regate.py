"""A registered version through the gates once more: by today's settings, against today's champion, on its own rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.parity import GATE as PARITY
from trimtab.ports import DataVersion
from trimtab.training import checks
from trimtab.training.again import restored
from trimtab.training.evaluate import model_answers
from trimtab.training.fit import few_threads
from trimtab.training.measure import PackageServer
from trimtab.training.spec import TrainSpec

if TYPE_CHECKING:
    from trimtab.core.domain.gate import VersionRecord
    from trimtab.training.pipeline import Services


def regate(
    version: int, services: Services, champion: int | None, now: float, progress: Callable[[str], None]
) -> tuple[GateResult, ...]:
    """Judge a version again. Nothing is registered: the version's record keeps what was said when it was made.

    The rows are those of its run, from the store; the answers are its package's. Parity needs the fitted estimator, so
    its answer is the recorded one.

    Args:
        version: a registered one.
        services: today's project, registry and store.
        champion: to compare with; None, or the version itself: what it was compared with when it was made.
        now: seconds since the epoch.
        progress: gets a line per step.

    Raises:
        NotFoundError: no such version, or its rows are kept nowhere.
        IntegrityError: its rows or its package are not what was recorded.
    """
    from trimtab.serving.package import read_signature
    from trimtab.serving.runtimes import load

    record = services.registry.get(version)
    against = record.compared_to if champion in (None, version) else champion
    with few_threads(), tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        scratch = Path(folder)
        progress(f"fetching version {version} and its rows")
        package = services.registry.fetch(version, scratch / "package")
        services.store.restore(DataVersion(record.data_version, 0, 0, ""), scratch / "rows")
        features = [each.name for each in read_signature(package).inputs]
        spec = TrainSpec("gate", "demand", now=now, champion=against)
        until = record.trained_until if record.trained_until is not None else now
        prepared = restored(services.project, scratch / "rows", features, until, spec)
        rows, truth = prepared.table.slice(prepared.training), prepared.truth[prepared.evaluation]
        with PackageServer(package, scratch) as server:
            ours = model_answers(load(package), rows, truth, prepared.classes, prepared.positive)[0]
            progress(f"comparing with {'the base rate' if against is None else f'version {against}'}")
            compared = checks.performance(spec, services, prepared, ours, scratch)
            progress("measuring latency")
            timed = checks.latency(services.project, server, prepared)
            parity = _recorded_parity(record)
            return checks.all_gates(services.project, prepared, ours, parity, compared, timed, server, scratch)


def _recorded_parity(record: VersionRecord) -> GateResult:
    for gate in record.gates:
        if gate.gate == PARITY:
            return replace(gate, text=f"{gate.text}, when it was made")
    return GateResult(PARITY, Verdict.INCONCLUSIVE, "was not measured when the version was made")

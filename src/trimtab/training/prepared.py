"""The rows of a run: collected, read, chosen and split, before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError
from trimtab.training import history, select
from trimtab.training.collect import collect
from trimtab.training.compete import Contest, compete, told
from trimtab.training.evaluate import encoded, positive_position
from trimtab.training.fit import class_values, features_frame, few_threads, target_array
from trimtab.training.maturity import due_of
from trimtab.training.spec import TrainSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from trimtab.project.settings import Project
    from trimtab.serving.package import ClassValue
    from trimtab.training.parents import Parents
    from trimtab.training.pipeline import Services, Stopwatch


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows of a run, oldest first, and what they say."""

    table: pa.Table
    features: tuple[str, ...]
    frame: pd.DataFrame
    target: npt.NDArray[Any]
    truth: npt.NDArray[np.float64]
    """(n,) positions in ``classes``, or values."""
    at: npt.NDArray[np.float64]
    classes: tuple[ClassValue, ...] | None
    positive: int
    training: int
    """So many rows are trained on; the others are the evaluation rows."""
    rows: dict[str, int]
    spec: TrainSpec
    """As asked for; with `strategy: auto`, with the strategy that won."""
    contest: Contest | None = None

    @property
    def evaluation(self) -> slice:
        return slice(self.training, None)


def prepare(spec: TrainSpec, services: Services, parents: Parents, watch: Stopwatch) -> Prepared:
    """The rows to train on and to evaluate on."""
    project, root = services.project, services.root
    parts: tuple[Path, ...] = ()
    if services.reader is not None and project.data.collect:
        with watch.step("collect", "collecting labelled rows of production"):
            found = collect(services.reader, root / "data" / "production", history.names_of(project.data))
            parts = found.parts
            if found.new or found.waiting:
                watch.progress(f"{found.new:,} rows are new, {found.waiting:,} wait for their label")
    with watch.step("load", "reading"):
        loaded = history.load_history(root, project, parts)
        for note in loaded.notes:
            watch.progress(note)
    return chosen_of(loaded, spec, project, root, parents, watch)


def chosen_of(
    loaded: history.History, spec: TrainSpec, project: Project, root: Path, parents: Parents | None, watch: Stopwatch
) -> Prepared:
    """Of a history, the rows to train on and to evaluate on. ``parents`` None: nothing goes on from a version.

    Raises:
        DataError: too few are left.
        EstimatorError: the user's estimator fails in a competition of strategies.
    """
    maturity = project.data.label_maturity if project.data.label_time else None
    with watch.step("maturity", "when labels are due"), few_threads():
        due_s = due_of(loaded, project, spec.now)
    contest = None
    if spec.strategy == "auto":
        with watch.step("compete", "strategies compete"):
            spec, contest = compete(spec, project, root, loaded, maturity, due_s, parents)
        watch.progress(told(contest) if contest is not None else "too few rows to compete on: full history")
    with watch.step("split", "choosing rows"):
        chosen = select.select(
            loaded.at,
            loaded.known_at,
            spec,
            evaluation_share=evaluation_share(spec, project, loaded, maturity, due_s),
            label_maturity=maturity,
            due_s=due_s,
        )
        return prepared_of(project, loaded, chosen, spec, contest)


def evaluation_share(
    spec: TrainSpec,
    project: Project,
    loaded: history.History,
    maturity: float | None,
    due_s: npt.NDArray[np.float64] | None,
) -> float:
    """Share of the chosen rows that is held out.

    Maps and weights need few rows, so half are held out. Learning on holds out as many rows as a full training would,
    but at most half of the new ones.
    """
    share = project.retraining.evaluation_share
    if spec.strategy in ("recalibrate", "blend"):
        return max(share, 0.5)
    if spec.strategy != "incremental" or spec.since is None:
        return share
    mature = select.mature_rows(loaded.at, loaded.known_at, spec.now, maturity, due_s)
    new = int((mature & (loaded.at >= spec.since)).sum())
    return share if new == 0 else max(share, min(0.5, share * int(mature.sum()) / new))


def prepared_of(
    project: Project, loaded: history.History, chosen: select.Selection, spec: TrainSpec, contest: Contest | None
) -> Prepared:
    as_it_is = np.array_equal(chosen.order, np.arange(loaded.table.num_rows))
    table = loaded.table if as_it_is else loaded.table.take(chosen.order).combine_chunks()
    name = project.data.target
    target = target_array(table, name)
    classes = tuple(class_values(table, name)) if project.task == "classification" else None
    positive = positive_of(project, target[: chosen.training], classes)
    rows = {
        "training": chosen.training,
        "evaluation": len(chosen.order) - chosen.training,
        "quarantined": chosen.quarantined,
        "immature": chosen.immature,
        "duplicates": loaded.duplicates,
        "unlabelled": loaded.unlabelled,
        "outside": chosen.outside,
    }
    return Prepared(
        table=table,
        features=loaded.features,
        frame=features_frame(table, loaded.features),
        target=target,
        truth=target.astype(np.float64) if classes is None else encoded(target, classes),
        at=loaded.at[chosen.order],
        classes=classes,
        positive=positive,
        training=chosen.training,
        rows=rows,
        spec=spec,
        contest=contest,
    )


def positive_of(project: Project, training: npt.NDArray[Any], classes: Sequence[ClassValue] | None) -> int:
    """Where the positive class stands; raises DataError where the target cannot be learnt."""
    name, rows = project.data.target, len(training)
    if classes is None:
        if training.min() == training.max():
            raise DataError(f"column '{name}' (data.target) is {training[0]:g} in all {rows:,} training rows")
        return 1
    seen = sorted(set(training.tolist()))
    if len(seen) < 2:
        raise DataError(
            f"column '{name}' (data.target) is '{seen[0]}' in all {rows:,} training rows; "
            "a classifier needs at least two classes to learn from"
        )
    wanted = project.data.positive
    matching = [value for value in classes if wanted is not None and str(value).lower() == str(wanted).lower()]
    if wanted is not None and not matching:
        found = ", ".join(map(str, classes[:10]))
        raise DataError(f"data.positive is '{wanted}', but the classes of '{name}' are {found}")
    return positive_position(classes, matching[0] if matching else None)

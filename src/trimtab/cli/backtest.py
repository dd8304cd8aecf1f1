"""``trimtab backtest``: what each retraining policy would have done on a history, and what it would have cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.show import columns, show
from trimtab.core.domain.errors import NotFoundError, UserError

if TYPE_CHECKING:
    from rich.table import Table

    from trimtab.replay.backtest.compare import Comparison

PRINT = Path("-")
POLICIES = "never,every:1,every:4,error:0.1,drift:psi0.2,adwin,trimtab,oracle"


def backtest(
    data: Annotated[Path, Parameter(help="Labelled history: a Parquet or CSV file, or a folder of Parquet files.")],
    /,
    *,
    target: Annotated[str, Parameter(help="Column to predict.")],
    time: Annotated[str, Parameter(help="Column with the time of the event.")],
    label_time: Annotated[str | None, Parameter(help="Column with the time when the label became known.")] = None,
    label_delay: Annotated[str | None, Parameter(help="How long after the event its label is known, e.g. 7d.")] = None,
    label_batches: Annotated[int | None, Parameter(help="The same as a number of batches.")] = None,
    ignore: Annotated[str, Parameter(help="Columns that are never features, with commas between.")] = "",
    initial: Annotated[float, Parameter(help="Share of the rows that the first version is trained on.")] = 0.15,
    batches: Annotated[int, Parameter(help="Equal parts that the rest is cut into.")] = 34,
    retrain_cost: Annotated[
        float, Parameter(help="Price of a training run, in units of the first version's mean loss on one batch.")
    ] = 0.1,
    policies: Annotated[
        str,
        Parameter(
            help="With commas between: never, every:N, error:X, drift:psiX, adwin, cara, trimtab, trimtab:single, "
            "oracle; most take ':window' for a sliding window as long as the first part."
        ),
    ] = POLICIES,
    metric: Annotated[str | None, Parameter(help="log_loss, brier or accuracy; mae or rmse for numbers.")] = None,
    jobs: Annotated[int | None, Parameter(help="Fits at a time. Default: as many as processors.")] = None,
    json: Annotated[
        Path | None,
        Parameter(help="Write all figures and decisions to this file; '-' prints them.", allow_leading_hyphen=True),
    ] = None,
    html: Annotated[Path | None, Parameter(help="Write a report to this file.")] = None,
) -> int:
    """Play a labelled history once for each policy and compare what they cost: what was
    lost on each batch, plus the price of each training run. Labels are seen only when
    they would have been known. Nothing is written but what --json and --html name.

    For example:
        trimtab backtest flights.parquet --target late --time departed_at --label-batches 2 --html report.html
        trimtab backtest bookings.parquet --target cancelled --time booked_at --label-time known_at
        trimtab backtest flights.parquet --target late --time departed_at --policies never,every:8,trimtab,oracle
    """
    from trimtab.core.domain.times import parse_duration
    from trimtab.replay.backtest.compare import compare
    from trimtab.replay.backtest.history import Question
    from trimtab.replay.backtest.report import to_json
    from trimtab.training.files import write_bytes

    if not data.exists():
        raise NotFoundError(f"there is no file or folder {data}")
    for path in (None if json == PRINT else json, html):
        if path is not None and not path.absolute().parent.is_dir():
            raise NotFoundError(f"there is no folder {path.absolute().parent} to write {path.name} into")
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs must be 1 or more, found {jobs}")
    question = Question(
        target=target,
        time=time,
        label_time=label_time,
        label_delay_s=None if label_delay is None else parse_duration(label_delay),
        label_batches=label_batches,
        ignore=_names(ignore),
        initial=initial,
        batches=batches,
        metric=metric,
    )
    done = compare(data, question, _names(policies), retrain_cost, jobs, _progress)
    if json is not None and json != PRINT:
        write_bytes(json, to_json(done).encode())
    if html is not None:
        from trimtab.replay.backtest.html import to_html

        write_bytes(html, to_html(done).encode())
    if json == PRINT:
        sys.stdout.write(to_json(done))
    else:
        _tell(done)
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _progress(text: str) -> None:
    sys.stderr.write(f"{text} …\n")


def _tell(done: Comparison) -> None:
    """The table, what it is based on, and what it suggests."""
    from trimtab.replay.backtest.report import recommended

    show(_table(done))
    show(
        f"\n{done.metric} of '{done.target}': {done.rows - done.initial_rows:,} rows in {len(done.batches)} batches "
        f"after the first {done.initial_rows:,}; a run costs {done.price:g} of a batch's loss"
    )
    show("cost: losses and runs, relative to never training again; regret: 0 is the oracle, 1 is never")
    for note in done.notes:
        show(f"note: {note}")
    advice = recommended(done)
    if advice is not None:
        show(f"\n{advice.text}\n\n{advice.yaml}")
    show(f"{done.fits} models, {done.fit_seconds:.1f} s of fitting; {done.seconds:.1f} s in all")


def _table(done: Comparison) -> Table:
    heads = ("policy", "cost", "regret", "runs", "rejected", "rolled back", "versions per request")
    rows = [
        (
            policy.name,
            f"{policy.cost:.3f}",
            "" if policy.regret is None else f"{policy.regret:.2f}",
            str(policy.retrains),
            str(policy.rejected),
            str(policy.rollbacks),
            f"{policy.versions:.1f}",
        )
        for policy in sorted(done.policies, key=lambda policy: policy.cost)
    ]
    return columns(heads, rows, right=range(1, len(heads)))

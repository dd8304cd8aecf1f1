"""The settings of a project: what may stand in ``trimtab.yaml``, with unit, default and reason.

Every model is frozen and refuses unknown fields. Durations are kept as seconds. The docstring of a field is its
description in the generated reference (docs/trimtab-yaml.md) and in the JSON Schema (docs/trimtab.schema.json).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from trimtab.core.domain.times import DAY_S, HOUR_S
from trimtab.project.fields import Column, Columns, Duration, Scalar, Share, Texts, Triggers
from trimtab.project.gate_settings import Gates, Metric
from trimtab.project.rules import contradictions
from trimtab.project.section import Section


class Data(Section):
    """Where the labelled history stands and what its columns mean."""

    files: Texts = Field(min_length=1)
    """Parquet or CSV files of labelled history, relative to the project file: a path, a glob such as
    `data/*.parquet`, or a list of them. Files are joined end to end; all must have the same columns."""
    time: Column
    """Column with the time of the event that is predicted (when the prediction is made, not when the outcome is
    known). Splits, windows and blocks go by it. Times without a zone are read as UTC."""
    target: Column
    """Column to predict."""
    positive: Scalar | None = None
    """The class whose probability is meant by 'score', for two classes. Default: the second in sorted order
    (`true`, `1`, `yes`)."""
    label_time: Column | None = None
    """Column with the time when the label became known, where the data has one. Rows are trained on only when
    their label was known: training on what happens to have arrived early is worse than not retraining.
    Give either this or `label_delay`."""
    label_delay: Duration = 0.0
    """How long after the event its label is known, where it is the same for all rows. `0s`: at once."""
    label_maturity: float = Field(default=0.9, ge=0.5, le=1)
    """With `label_time`: a block of rows counts as mature, and is trained on and judged, once as much time has passed
    as this share of labels takes to arrive. High, since early labels are not like late ones."""
    entity: Column | None = None
    """Column that names who or what a request is about (a customer, a machine). The same entity is answered by the
    same version during a rollout. Not a feature."""
    slices: Texts = ()
    """Columns whose values are watched one by one, so that a good average cannot hide a bad subgroup."""
    ignore: Columns = ()
    """Columns that are never features: identifiers, and what is known only after the event."""
    collect: bool = True
    """Labelled rows from production become training data of later versions. `false`: only `files` are trained on."""


class Estimator(Section):
    """What is fitted."""

    function: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`module:function` in the project. It is called with `parameters` as keyword arguments and returns an unfitted
    scikit-learn-compatible estimator with its preprocessing inside. Default: gradient-boosted trees that take
    categories and missing values as they are."""
    parameters: dict[str, Any] = Field(default={})
    """Keyword arguments of the function; recorded with every run."""


class Retraining(Section):
    """When a new candidate is trained, and on what."""

    on: Triggers = ("drift",)
    """What starts a training: `drift` (a diagnosis that training can mend), `schedule` (every so often), `payoff` (what
    a training is expected to gain, by what retained versions lose on the newest labelled blocks, has added up to its
    `price`; `trimtab backtest` recommends one).
    `trimtab train` by hand is always possible; `[manual]` means only by hand."""
    every: Duration | None = None
    """With `schedule`: the time between trainings."""
    price: float = Field(default=0.1, gt=0)
    """With `payoff`: what a training costs, in units of what the oldest retained version loses in one `block`. A higher
    one trains more rarely."""
    block: Duration = 7 * DAY_S
    """With `payoff`: length of the stretches of event time on which retained versions are compared, once each. Long
    enough for some hundred labelled rows."""
    cooldown: Duration = 7 * DAY_S
    """Least time between two trainings that the loop starts by itself. A week: the evidence of the first must have
    had time to come in before a second is worth its price."""
    strategy: Literal["full", "sliding-window", "incremental", "auto"] = "full"
    """`full`: all history, less what is quarantined. `sliding-window`: the newest `window` of it. `incremental`: the
    champion learns the rows that are newer than it, where the estimator can (`partial_fit`, more trees or iterations);
    the fitted estimator is then kept with each run. `auto`: these and a recalibration of the champion compete on the
    newest labelled rows before those that the gates look at; where a diagnosis named a change, the window begins there.
    Costs up to three more fits. Full wins more often than habit says; a window pays where the world really has
    changed."""
    window: Duration | None = None
    """With `sliding-window` and `auto`: how much of the newest history is trained on. Default with `auto`: the newest
    30 % of the rows."""
    blend: int | None = Field(default=None, ge=2, le=8)
    """Up to so many versions answer together: a new one is blended with retained ones where that gains on labelled rows
    that none of them was trained on. Every request is then scored by each of them: it costs their time and memory
    together. Default: one version answers."""
    evaluation_share: float = Field(default=0.2, ge=0.05, le=0.5)
    """Share of the training rows, the newest by time, that is held out to compare candidate and champion."""
    budget: int = Field(default=8, ge=0)
    """Most trainings that the loop starts by itself in 30 days. A circuit breaker: when it is used up, a person is
    told instead."""
    time_limit: Duration = Field(default=6 * HOUR_S, gt=0)
    """Longest time that a training which the loop started may take; then it is ended and has failed. One that hangs
    would otherwise keep every later one from starting."""
    breaker: int = Field(default=3, ge=1)
    """After so many trainings in a row that gave no deployable version, a person is asked before the next."""


class Guardrails(Section):
    """Absolute limits that hold beside every comparison; crossing one aborts the rollout or rolls back."""

    error_rate: Share = 0.05
    """Largest share of requests answered with an error."""
    p95_ms: float = Field(default=200.0, gt=0)
    """Most milliseconds for 95 % of answers."""
    invalid_rate: Share = 0.01
    """Largest share of the challenger's outputs that are no answer: not finite, not a class, scores that do not sum to
    one."""
    rate_margin: float = Field(default=0.005, ge=0, lt=1)
    """Rise of a rate of bad answers over the champion's that is tolerated (0.005: half a percent of the requests)."""


class Rollout(Section):
    """How a version that passed its gates gets the traffic."""

    strategy: Literal["canary", "blue-green", "shadow", "shadow-then-canary"] = "canary"
    """`canary`: a growing share, step by step. `blue-green`: one switch, the old version stays warm. `shadow`: it
    scores the same requests and is never answered from, until a person promotes it. `shadow-then-canary`: first the
    one, then the other."""
    steps: tuple[int, ...] = (5, 10, 25, 50, 100)
    """Percent of the entities at each step of a canary, growing, the last 100."""
    bake: Duration = HOUR_S
    """Least time at each step (and in the shadow), by the project's clock."""
    requests_min: int = Field(default=100, ge=0)
    """Fewest requests answered by the challenger at a step before it may advance."""
    labels_min: int = Field(default=200, ge=0)
    """Fewest labelled rows of the comparison, over the whole rollout, before the challenger may advance. `0` where
    labels come too late to wait for: then agreement with the champion (`disagreement_max`, `score_shift_max`), errors,
    latency and invalid answers are judged."""
    paired: bool = True
    """During a canary both versions score every request, so that they are compared on the same rows: needs 3 to 40
    times fewer labels than comparing the two halves of the traffic, and costs a second scoring."""
    alpha: Share = 0.05
    """Chance that a harmless challenger is ever called harmful in a rollout, however often it is looked at."""
    margin: float = Field(default=0.01, gt=0)
    """How much worse the challenger's mean loss may be and still count as 'not worse': of the Brier score, or for
    regression as a share of the champion's mean absolute error (0.01: one percent). Smaller needs more labels."""
    disagreement_max: Share | None = 0.2
    """Where there is no label to judge by (`labels_min: 0`, or not enough of them after half of `longest`): share of
    the rows that both versions score on which they may predict otherwise (regression: differ by more than the
    champion's mean absolute error). Else it is only shown: a better model disagrees too. `null`: no limit."""
    score_shift_max: Share | None = 0.1
    """In the same cases: how much the mean score may move, either way (regression: as a share of the champion's mean
    absolute error). `null`: no limit."""
    longest: Duration = 14 * DAY_S
    """Longest time of a whole rollout without a verdict; at least `bake`."""
    on_longest: Literal["ask", "abort", "promote"] = "ask"
    """What happens then: `ask` pauses and asks a person, since no evidence is not success."""
    guardrails: Guardrails = Guardrails()
    """See below."""
    watch: Duration = DAY_S
    """How long a new champion stays under watch, with the old one warm, before the rollout is closed."""
    keep: int = Field(default=3, ge=1)
    """Earlier versions kept installed, so that a rollback takes seconds."""


class Monitoring(Section):
    """How often is looked, and what is called a change."""

    every: Duration = Field(default=10.0, gt=0)
    """Wall time between two ticks of the loop."""
    block: Duration = Field(default=DAY_S, gt=0)
    """Event time that one block spans. Blocks are what is compared: each must hold a whole cycle of the traffic (a day,
    a week), or every night is an alarm."""
    alpha: Share = 0.01
    """Chance of a false drift alarm per block, over all features together."""
    tolerance: float = Field(default=0.02, ge=0)
    """Relative rise of the loss over the champion's baseline that is nobody's concern (0.02: 2 %)."""
    rows_min: int = Field(default=50, ge=1)
    """Fewest rows of a block that is judged; smaller ones wait and are added to the next."""


class Response(Section):
    """How much the loop may do by itself."""

    mode: Literal["observe", "approve", "automatic"] = "approve"
    """`observe`: journal and alert, change nothing. `approve`: trainings and rollouts wait for `trimtab approve`; what
    protects users (aborting a harmful canary, taking a bad new champion back, quarantining broken data) is done at
    once. `automatic`: all of it. The default lets you read its decisions for a while before you automate them."""


class Log(Section):
    """What of the answered predictions is recorded, how much, in what form and for how long."""

    rows: bool = True
    """`false`: no rows are logged. Inputs and answers are watched all the same, by profiles that the servers add up;
    losses cannot be measured and nothing is collected for training; rollouts are judged by errors, latency, invalid
    outputs and the agreement of both versions (set `rollout.labels_min: 0`)."""
    sample: float = Field(default=1.0, gt=0, le=1)
    """Share of the predictions whose rows are logged, chosen by prediction id, the same in every process. The column
    `sample` of the log tells it. Labels of the others are accepted."""
    hash: Texts = ()
    """Text columns that stand in the log as a keyed hash (the entity too, by its name or as `entity`)."""
    omit: Texts = ()
    """Columns that are left out of the log (the entity too)."""
    key_file: str | None = Field(default=None, min_length=1)
    """File with the secret of the hashes, relative to the project file. Default: the variable `TRIMTAB_LOG_KEY`. With
    another key the same value gets another hash."""
    merge: bool = True
    """Small files of an hour are merged into few, beside the requests (docs/records.md). `false`: each stays as it was
    written, a file every `flush` and worker."""
    age: Duration | None = Field(default=None, gt=0)
    """Hours of the log older than this are deleted, once the controller and the collection for training have read
    them. Default: never. Keep at least `rollout.longest`: a controller that is restarted reads the log again."""
    size: int | None = Field(default=None, gt=0)
    """Bytes: while the log is larger, its oldest hours that were read are deleted."""
    size_hard: int | None = Field(default=None, gt=0)
    """Bytes: while the log is larger, its oldest hours are deleted, read or not, and that is told."""


class Serving(Section):
    """The model server."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on. Only this machine by default; beyond it, give tokens and TLS (docs/serving.md)."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    workers: int = Field(default=2, ge=1, le=256)
    """Processes that share the port; one per core that should serve. With two, one answers at once where the other is
    killed; with one, requests wait about a second for its replacement. Each takes 100 to 150 MB."""
    durability: Literal["batch", "sync"] = "batch"
    """`batch`: predictions and labels are logged every `flush`; a killed server loses at most that. `sync`: an answer
    is sent only after its record is on disk, which costs each request up to `flush`."""
    flush: Duration = Field(default=0.5, gt=0, le=60)
    """Longest time that a prediction or label waits in memory before it is written, at most `60s`."""
    log: Log = Log()
    """See below."""


class Console(Section):
    """The control API of `trimtab up`: status, history and verdicts over HTTP, read-only."""

    host: str = "127.0.0.1"
    """Address to listen on. Only this machine by default; another address needs a token."""
    port: int = Field(default=8081, ge=0, le=65535)
    """Port to listen on; 0 takes a free one. Where it is taken, `trimtab up` says so and goes on without."""
    token_file: str | None = Field(default=None, min_length=1)
    """File that holds the token which callers must send (`Authorization: Bearer ...`), relative to the project; the
    environment variable TRIMTAB_CONSOLE_TOKEN goes before it. Default: no token is needed."""
    unprotected: bool = False
    """Answer on an address that others reach without a token. Only where something else keeps them out."""


class Notification(Section):
    """Who is told."""

    urls: Texts = ()
    """Where messages go, one Apprise URL each (Slack, Teams, e-mail, PagerDuty, webhooks). They hold secrets: write
    `${NAME}` and set the environment variable NAME."""
    severity: Literal["minor", "moderate", "severe"] = "moderate"
    """Least severity that is sent; everything is journalled."""


class Journal(Section):
    """Where decisions are kept."""

    url: str | None = Field(default=None, min_length=1)
    """Database of the journal, e.g. `postgresql://trimtab:${JOURNAL_PASSWORD}@host/db`; `${NAME}` is taken from the
    environment. Default: SQLite under `.trimtab/`."""


class Tracking(Section):
    """Where runs and versions are recorded (MLflow)."""

    uri: str | None = Field(default=None, min_length=1)
    """MLflow tracking URI. Default: a database under `.trimtab/`, no server needed."""
    experiment: str | None = Field(default=None, min_length=1)
    """Name of the experiment. Default: the project's name."""


class Project(Section):
    """All settings of one endpoint: one model, its data, and how it is kept healthy."""

    name: str = Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=50)
    """Name of the endpoint and of its registered model: lower-case letters, digits and '-', so that it can be a name in
    Kubernetes and in a URL too."""
    task: Literal["classification", "regression"]
    """What is predicted: one of some classes, or a number."""
    data: Data
    """See below."""
    estimator: Estimator = Estimator()
    """See below."""
    retraining: Retraining = Retraining()
    """See below."""
    gates: Gates = Gates()
    """See below."""
    rollout: Rollout = Rollout()
    """See below."""
    monitoring: Monitoring = Monitoring()
    """See below."""
    response: Response = Response()
    """See below."""
    serving: Serving = Serving()
    """See below."""
    console: Console = Console()
    """See below."""
    notification: Notification = Notification()
    """See below."""
    journal: Journal = Journal()
    """See below."""
    tracking: Tracking = Tracking()
    """See below."""
    clock: Literal["wall", "event"] = "wall"
    """What 'now' is: `wall` the machine's clock; `event` the newest event time in the log, for replays of the past."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Settings that contradict each other or would have no effect, by the table in ``rules``."""
        found = contradictions(self.model_dump(exclude_unset=True))
        if found:
            text = "; ".join(f"{'.'.join(map(str, place.path))} {place.message}" for place in found)
            raise PydanticCustomError("contradiction", "{text}", {"text": text})
        return self

    @property
    def metric(self) -> Metric:
        """The metric of the performance gate, with the default of the task."""
        if self.gates.metric is not None:
            return self.gates.metric
        return "log_loss" if self.task == "classification" else "mae"

    @property
    def higher_is_better(self) -> bool:
        return self.metric in ("accuracy", "f1", "auroc")

    def allowance(self, champion: float) -> float:
        """How much worse than the champion's value a candidate may be, in units of the metric."""
        tolerance = self.gates.performance.tolerance
        return tolerance if self.task == "classification" else tolerance * abs(champion)

    @property
    def never_features(self) -> frozenset[str]:
        """Columns that the model never sees."""
        named = (self.data.target, self.data.time, self.data.label_time, self.data.entity)
        return frozenset(self.data.ignore) | {name for name in named if name is not None}

    def record(self) -> dict[str, Any]:
        """All settings with their defaults as plain JSON, durations as text; secrets stay ``${NAME}``."""
        return self.model_dump(mode="json")

"""The leakage gate: does the candidate know what nobody knows when the prediction is made?

Three kinds of evidence, each with three answers:

    a column that tells the target by itself         certain: it is the target in other words; suspicious: nearly so, or
                                                     what it tells hangs on the value that stands in most rows of a
                                                     column of many values (is it filled in afterwards?)
    evaluation rows that repeat training rows        same inputs, same outcome, another time
    time                                             a moment after the event among the inputs, labels known before it

Strong columns can be honest (a departure delay tells the arrival delay; yesterday's price tells today's), so what is
not certain asks a person: ``inconclusive``. Columns that a person vouched for are only told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import sqrt

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict, combine

GATE = "leakage"

CERTAIN_AUROC, CERTAIN_SHARE, CERTAIN_R2 = 0.999, 0.95, 0.9995
"""A class's column is certain to be the target in other words when it orders all but a thousandth of the pairs of rows
and explains nearly all of the target's variance; a number's when next to nothing is left unexplained."""
SUSPICIOUS_AUROC, SUSPICIOUS_R2 = 0.97, 0.95
FILLER_VALUES, FILLER_SHARE, FILLER_TELLS = 20, 0.4, 0.03
"""A category of at least so many values that tells what no other column does: of the variance that the others leave it
explains at least ``FILLER_TELLS``, and at least ``FILLER_SHARE`` of that by its most common value alone. Chosen on
seven labelled sets, each at 30 to 100 % of its rows: ``country`` of the hotel bookings explains 4 to 9 % of the rest,
58 to 82 % of it by 'PRT or not'; the next, its ``agent``, at most 2 % and 18 %; all others less. By
itself the column does not show it: at the end 21 % of what it tells is 'PRT or not', 45 % of ``agent`` its largest."""
COPIES_SUSPICIOUS, COPIES_FAILED = 0.01, 0.10


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """How well one column alone tells the target, measured on rows that it was not learnt from."""

    name: str
    skill: float
    """AUROC (the largest over the classes), or R2 for a number."""
    share: float
    """Of the target's variance that it explains (the largest over the classes); for a number the same as ``skill``."""
    values: int = 0
    """Different values of a category; 0 for numbers and times."""
    filler: str = ""
    """The most common value of a category, missing included."""
    filler_share: float = 0.0
    """How much of what the column tells beyond the other columns is told by 'the most common value or not'."""
    beyond: float = 0.0
    """Share of the target's variance left by the other columns that this one explains; 0 where it was not asked."""
    lag_skill: float | None = None
    """``skill`` about the target of earlier rows, where it was asked for: a column that tells the past better than the
    present is a memory of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A column that may leak."""

    column: str
    certain: bool
    why: str


def column_finding(facts: ColumnFacts, *, target: str, classification: bool) -> Finding | None:
    """What is to be said of a column, if anything.

    >>> column_finding(ColumnFacts("delay", 1.0, 0.98), target="late", classification=True).why
    'alone tells late (AUROC 1.000): known only afterwards?'
    >>> column_finding(ColumnFacts("lag", 0.99, 0.99, lag_skill=1.0), target="price", classification=False)
    """
    strong = SUSPICIOUS_AUROC if classification else SUSPICIOUS_R2
    if facts.skill > strong:
        if facts.lag_skill is not None and facts.lag_skill > facts.skill:
            return None
        if classification:
            certain = facts.skill >= CERTAIN_AUROC and facts.share >= CERTAIN_SHARE
            words = f"alone tells {target} (AUROC {facts.skill:.3f}): known only afterwards?"
        else:
            certain = facts.skill >= CERTAIN_R2
            words = f"alone explains {100 * facts.skill:.4g} % of {target}: known only afterwards?"
        return Finding(facts.name, certain, words)
    if facts.values >= FILLER_VALUES and facts.filler_share >= FILLER_SHARE and facts.beyond >= FILLER_TELLS:
        words = (
            f"{100 * facts.filler_share:.0f} % of what it alone adds about {target} is whether it is {facts.filler} or "
            f"one of {facts.values - 1:,} other values: does {facts.filler} stand there until the outcome?"
        )
        return Finding(facts.name, False, words)
    return None


def findings(facts: Sequence[ColumnFacts], *, target: str, classification: bool) -> tuple[tuple[Finding, ...], bool]:
    """The findings of all columns, and whether the target is easy: where more than half of the columns tell it, leaks
    are no exception any more, and nothing is certain.

    >>> many = [ColumnFacts(name, 1.0, 1.0) for name in "abc"] + [ColumnFacts("d", 0.6, 0.1)]
    >>> found, easy = findings(many, target="y", classification=True)
    >>> len(found), easy, any(f.certain for f in found)
    (3, True, False)
    """
    found = [f for each in facts if (f := column_finding(each, target=target, classification=classification))]
    telling = sum("alone" in finding.why for finding in found)
    easy = 2 * telling > len(facts)
    if easy:
        found = [Finding(finding.column, False, finding.why) for finding in found]
    return tuple(sorted(found, key=lambda finding: not finding.certain)), easy


@dataclass(frozen=True, slots=True)
class Overlap:
    """Evaluation rows with the inputs of a training row, and how often their outcomes agree."""

    rows: int
    """Evaluation rows."""
    twins: int = 0
    """Of them with the inputs of a training row."""
    agreeing: int = 0
    """Of the twins with the same outcome."""
    usual: float = 0.0
    """Share of agreement among training rows of the same inputs: what chance and honest repetition give."""
    expected: float = 0.0
    """Share of agreement that the candidate's own scores of the twins allow."""


def copies(overlap: Overlap) -> float:
    """Share of the evaluation rows that are copies of training rows, a lower bound (95 %, one-sided).

    Rows of the same inputs happen honestly where inputs are few and discrete; then outcomes differ now and then, as
    often as among training rows. Copies always agree. So copies are shown by agreement beyond the usual, or by all
    twins agreeing where the candidate itself is in doubt about them.

    >>> copies(Overlap(1000, 300, 240, usual=0.8, expected=0.8)), round(copies(Overlap(1000, 300, 300, 0.8, 0.7)), 2)
    (0.0, 0.3)
    """
    if overlap.twins < 30:
        return 0.0
    agreed = overlap.agreeing / overlap.twins
    low = agreed - 1.645 * sqrt(max(agreed * (1.0 - agreed), 0.25 / overlap.twins) / overlap.twins)
    doubtful = agreed >= 0.995 and overlap.expected < 0.9
    usual = min(overlap.usual, overlap.expected) if doubtful else overlap.usual
    if low <= usual or usual >= 1.0:
        return 0.0
    return (agreed - usual) / (1.0 - usual) * overlap.twins / overlap.rows


@dataclass(frozen=True, slots=True)
class TimeFacts:
    """Whether the order of time is kept."""

    newest_training: float
    oldest_evaluation: float
    rows: int
    before_event: int = 0
    """Rows whose label was known before their event."""
    after_event: tuple[tuple[str, float, bool], ...] = ()
    """(column, share of rows, never before the label): moments among the inputs that lie after the event."""


def leakage_gate(
    facts: Sequence[ColumnFacts],
    overlap: Overlap,
    time: TimeFacts,
    *,
    target: str,
    classification: bool,
    known: Collection[str] = (),
) -> GateResult:
    """Judge all evidence; the worst of it is the answer.

    Args:
        facts: of each input; empty where there are too few rows to say.
        overlap: of evaluation and training rows.
        time: what the moments say.
        target: its name, for the words.
        classification: or regression.
        known: columns that a person vouched for: they are known when the prediction is made.
    """
    found, easy = findings(facts, target=target, classification=classification)
    answers = [_columns(found, easy, known, len(facts)), _overlap(overlap), *_time(time, known)]
    verdict = combine([answer[0] for answer in answers])
    told = [text for each, text in answers if each is verdict] if verdict is not Verdict.SUCCESSFUL else []
    text = "; ".join(told or [text for _, text in answers])
    suspects = [finding for finding in found if finding.column not in known]
    if verdict is Verdict.INCONCLUSIVE and suspects:
        names = ", ".join(finding.column for finding in suspects)
        text += f" A person must say: gates.leakage.known: [{names}], or data.ignore"
    return GateResult(GATE, verdict, text, float(len(suspects)), 0.0, "columns")


Answer = tuple[Verdict, str]


def _columns(found: Sequence[Finding], easy: bool, known: Collection[str], asked: int) -> Answer:
    suspects = [finding for finding in found if finding.column not in known]
    vouched = [finding.column for finding in found if finding.column in known]
    if not suspects:
        besides = f" (vouched for: {', '.join(vouched)})" if vouched else ""
        words = f"none of {asked:,} columns tells the target by itself{besides}" if asked else "too few rows to tell"
        return Verdict.SUCCESSFUL if asked else Verdict.INCONCLUSIVE, words
    certain = [finding for finding in suspects if finding.certain]
    words = "; ".join(f"{finding.column} {finding.why}" for finding in (certain or suspects)[:4])
    if easy:
        words += "; so do most columns: is the target this easy to tell, or are all known only afterwards?"
    return Verdict.FAILED if certain else Verdict.INCONCLUSIVE, words


def _overlap(overlap: Overlap) -> Answer:
    share = copies(overlap)
    words = f"{overlap.twins:,} of {overlap.rows:,} evaluation rows have the inputs of a training row"
    if share <= COPIES_SUSPICIOUS:
        return Verdict.SUCCESSFUL, words
    agreed, usual = 100 * overlap.agreeing / overlap.twins, 100 * overlap.usual
    words += (
        f", and {agreed:.1f} % of those its outcome (usual among training rows: {usual:.1f} %): about "
        f"{100 * share:.0f} % of the evaluation rows are copies"
    )
    return Verdict.FAILED if share > COPIES_FAILED else Verdict.INCONCLUSIVE, words


def _time(time: TimeFacts, known: Collection[str]) -> list[Answer]:
    out: list[Answer] = []
    if time.newest_training >= time.oldest_evaluation:
        out.append((Verdict.FAILED, "training rows are not older than the evaluation rows"))
    share = time.before_event / time.rows if time.rows else 0.0
    if share > 0.01:
        words = f"{time.before_event:,} of {time.rows:,} labels were known before their event: is data.time the moment"
        out.append((Verdict.INCONCLUSIVE, f"{words} of the prediction?"))
    for column, after, outcome in time.after_event:
        if column not in known:
            when = "never before its label is known" if outcome else "after its event"
            words = f"the moment {column} lies {when} in {100 * after:.0f} % of the rows"
            out.append((Verdict.FAILED if outcome else Verdict.INCONCLUSIVE, words))
    return out or [(Verdict.SUCCESSFUL, "training is older than evaluation")]

"""The table of commands: name, group, one line, where its function stands.

Pure data without imports, so that ``trimtab --help`` costs no more than Python's own start; the parser is built from
the same table (``trimtab.cli.app``), so the two cannot differ.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command."""

    name: str
    group: str
    summary: str
    function: str
    """``module:function``, imported when the command is used."""


COMMANDS = (
    Command("init", "Start", "Look at data and write a commented trimtab.yaml.", "trimtab.cli.init:init"),
    Command("train", "Start", "Train a version, check it at the gates, register it.", "trimtab.cli.train:train"),
    Command("up", "Start", "Serve, watch and decide: server and controller together.", "trimtab.cli.up:up"),
    Command("serve", "Start", "Only serve: the data plane, without a controller.", "trimtab.cli.serve:serve"),
    Command("score", "Start", "Score a file with the version that serves.", "trimtab.cli.score:score"),
    Command(
        "import",
        "Start",
        "Read prediction logs of KServe, Seldon, SageMaker, or a table.",
        "trimtab.cli.import_log:import_log",
    ),
    Command(
        "status",
        "See",
        "What serves, what is under way, what is wrong, what waits for you.",
        "trimtab.cli.status:status",
    ),
    Command("history", "See", "The decisions, newest last.", "trimtab.cli.history:history"),
    Command("why", "See", "The story of a decision: its causes, evidence and figures.", "trimtab.cli.why:why"),
    Command("versions", "See", "The registered versions and what their gates said.", "trimtab.cli.versions:versions"),
    Command("runs", "See", "Training runs compared and searched, failed ones too.", "trimtab.cli.runs:runs"),
    Command("gate", "See", "What the gates said of a version; ask again, or override.", "trimtab.cli.gate:gate"),
    Command("diff", "See", "What two versions differ in.", "trimtab.cli.diff:diff"),
    Command(
        "reproduce",
        "See",
        "Train a version again from its record; prove it equal.",
        "trimtab.cli.reproduce:reproduce",
    ),
    Command(
        "diagnose",
        "See",
        "What is wrong with these rows, since when, and what to do.",
        "trimtab.cli.diagnose:diagnose",
    ),
    Command(
        "drift", "See", "Did these rows change, in what, since when? Exit 3 is an alarm.", "trimtab.cli.drift:drift"
    ),
    Command("export", "See", "A drift check in another tool's format.", "trimtab.cli.export:export"),
    Command(
        "performance",
        "See",
        "How well the model does: by cohort, by slice, and what is to come.",
        "trimtab.cli.performance:performance",
    ),
    Command("watch", "See", "Watch a model that others serve, from its log alone.", "trimtab.cli.watch:watch"),
    Command("settings", "See", "Every setting of trimtab.yaml with its reason.", "trimtab.cli.settings:settings"),
    Command("blend", "Act", "Let registered versions answer together, as a version.", "trimtab.cli.blend:blend"),
    Command("deploy", "Act", "Roll a registered version out.", "trimtab.cli.act:deploy"),
    Command("rollback", "Act", "Return to an earlier version at once.", "trimtab.cli.act:rollback"),
    Command("promote", "Act", "Give the challenger all traffic now.", "trimtab.cli.act:promote"),
    Command("abort", "Act", "End the rollout; the champion answers everything.", "trimtab.cli.act:abort"),
    Command("pause", "Act", "Keep the rollout where it is.", "trimtab.cli.act:pause"),
    Command("resume", "Act", "Let a paused rollout go on.", "trimtab.cli.act:resume"),
    Command("approve", "Act", "Confirm what the loop asked for.", "trimtab.cli.act:approve"),
    Command("reject", "Act", "Decline what the loop asked for.", "trimtab.cli.act:reject"),
    Command("adopt", "Act", "Begin a new journal with what is deployed.", "trimtab.cli.act:adopt"),
    Command("override", "Act", "Let a version pass against its gates, on record.", "trimtab.cli.act:override"),
    Command(
        "backtest",
        "Try",
        "What each retraining policy would have cost on a history of yours.",
        "trimtab.cli.backtest:backtest",
    ),
    Command(
        "drill",
        "Try",
        "Break a copy of your data and see what the loop would do.",
        "trimtab.cli.drill:drill",
    ),
    Command(
        "simulate",
        "Try",
        "Try to break the loop in a simulated world, under a seed.",
        "trimtab.cli.simulate:simulate",
    ),
)

_HEAD = """\
Usage: trimtab COMMAND [OPTIONS]

Keeps a machine-learning model healthy after it is deployed: watches, understands, decides,
retrains, rolls out, rolls back, and can tell why.
"""

_TAIL = """\
In a new project:
  trimtab init data.parquet --target late --time departed_at
  trimtab train
  trimtab up

'trimtab COMMAND --help' has the options and an example. What tells something takes --json.
'--debug' anywhere shows where an error came from.
Exit codes: 0 done, 1 something failed outside, 2 your mistake, 3 a gate was not passed, or an alarm.
"""


def overview() -> str:
    """What ``trimtab --help`` prints."""
    parts = [_HEAD]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        lines = [f"  {command.name:<10} {command.summary}" for command in COMMANDS if command.group == group]
        parts.append("\n".join([f"{group}:", *lines, ""]))
    return "\n".join([*parts, _TAIL])

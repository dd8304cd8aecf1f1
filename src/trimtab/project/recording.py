"""``serving.log`` of the project as what the server is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trimtab.core.domain.times import DAY_S
from trimtab.project.settings import Project
from trimtab.serving.record.settings import LOG_KEY, LogSettings


def log_settings(project: Project, root: Path, variables: Mapping[str, str]) -> LogSettings:
    """What the servers of a project record. The key of hashes comes from its file or from the environment.

    Raises:
        UserError: columns are to be hashed and there is no key, or none that can be used.
    """
    log = project.serving.log
    made = LogSettings(
        rows=log.rows,
        sample=log.sample,
        bucket_s=project.monitoring.block,
        ahead_s=None if project.clock == "event" else DAY_S,
        hashed=log.hash,
        omitted=log.omit,
        key=variables.get(LOG_KEY, "") if log.key_file is None else "",
        key_file=None if log.key_file is None else root / log.key_file,
        merge=log.merge,
        age_s=log.age,
        bytes_max=log.size,
        bytes_hard=log.size_hard,
    )
    if made.hashed:
        made.secret()
    return made


def _waits_for_labels(project: Project) -> str:
    if project.rollout.labels_min == 0:
        return ""
    return ", half of rollout.longest after each step began: set rollout.labels_min: 0, labels cannot be joined to them"


def limits_of(project: Project) -> tuple[str, ...]:
    """What cannot be done with what is recorded, in words; empty where everything is."""
    log, words = project.serving.log, []
    if not log.rows:
        words.append(
            "rows are not logged (serving.log.rows): inputs and answers are watched by profiles; losses are not "
            "measured, and nothing is collected for training; rollouts are judged by errors, latency, invalid outputs "
            "and how far both versions agree" + _waits_for_labels(project)
        )
    elif log.sample < 1:
        words.append(f"{log.sample:g} of the predictions is logged (serving.log.sample): only these can be labelled")
    if log.hash:
        words.append(
            f"{', '.join(log.hash)} stand hashed in the log: production rows cannot be trained on or tried in a "
            "preflight with their values; drift is watched by profiles"
        )
    if log.omit:
        words.append(
            f"{', '.join(log.omit)} are left out of the log: production rows lack them for training and preflights; "
            "drift is watched by profiles"
        )
    return tuple(words)

"""What of the answered predictions is recorded, how much of it, in what form, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from trimtab.core.domain.errors import UserError

KEY_BYTES_MIN = 16
LOG_KEY = "TRIMTAB_LOG_KEY"
"""Variable of the environment that holds the secret of the hashes."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The record of one endpoint. The default: every prediction, as it was, for ever."""

    rows: bool = True
    """False: no rows are logged; profiles are, so that the inputs are watched all the same."""
    sample: float = 1.0
    """Share of the predictions that is logged, chosen by prediction id (``sampled``)."""
    profiles: bool = True
    """Sums over the traffic in the bins of the champion's baseline."""
    profile_s: float = 60.0
    """Between two files of profiles: what a kill -9 can lose of them."""
    bucket_s: float = 3600.0
    """Event time that one profile spans; a whole part of the blocks that the controller compares."""
    ahead_s: float | None = 86_400.0
    """Event times further ahead of their arrival than this are a client's mistake: profiles count them by arrival.
    None: event times are believed, as in replays."""
    hashed: tuple[str, ...] = ()
    """Text inputs, and the entity by its name or as ``entity``, whose values stand in the log as a keyed hash."""
    omitted: tuple[str, ...] = ()
    """Inputs that are left out of the log."""
    key: str = field(default="", repr=False)
    """Secret of the hashes, where the environment holds it."""
    key_file: Path | None = None
    """A file with the secret."""
    merge: bool = True
    """Small files of an hour are merged into few (docs/records.md)."""
    age_s: float | None = None
    """Hours of the log that ended this long ago are deleted, once they were read."""
    bytes_max: int | None = None
    """The oldest hours that were read are deleted while the log is larger."""
    bytes_hard: int | None = None
    """The oldest hours are deleted while the log is larger, read or not."""

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.sample <= 1:
            problems.append(f"the sample must be above 0 and at most 1, found {self.sample}; log no rows to keep none")
        if not self.profile_s > 0 or not self.bucket_s > 0:
            problems.append(f"profile times must be above 0 s, found {self.profile_s} and {self.bucket_s}")
        if not self.rows and not self.profiles:
            problems.append("neither rows nor profiles are recorded: nothing could be watched")
        both = sorted(set(self.hashed) & set(self.omitted))
        if both:
            problems.append(f"{both[0]} is both hashed and left out of the log")
        if self.hashed and not self.key and self.key_file is None:
            problems.append(f"{', '.join(self.hashed)} cannot be hashed: no key is given, by file or environment")
        problems += [
            f"{words} must be above 0, found {value}"
            for words, value in (("age", self.age_s), ("size", self.bytes_max), ("hard size", self.bytes_hard))
            if value is not None and not value > 0
        ]
        if self.bytes_max is not None and self.bytes_hard is not None and self.bytes_hard < self.bytes_max:
            problems.append(f"the hard size {self.bytes_hard} is less than the size {self.bytes_max}")
        if problems:
            raise UserError("the log: " + "\n".join(problems))

    @property
    def partial(self) -> bool:
        """Whether the logged rows are not the whole traffic as it was."""
        return not self.rows or self.sample < 1 or bool(self.hashed or self.omitted)

    def secret(self) -> bytes:
        """The key of the hashes; stable, so that the same value has the same hash in every file.

        Raises:
            UserError: the file cannot be read, or the key is too short to be one.
        """
        if self.key_file is None:
            found = self.key.encode()
        else:
            try:
                found = self.key_file.read_bytes().strip()
            except OSError as error:
                raise UserError(f"the key of the log, {self.key_file}: {error.strerror or error}") from error
        if len(found) < KEY_BYTES_MIN:
            where = f"in {self.key_file}" if self.key_file else "of the environment"
            raise UserError(
                f"the key of the log {where} has {len(found)} bytes, fewer than {KEY_BYTES_MIN}; make one with "
                "python -c 'import secrets; print(secrets.token_hex(32))'"
            )
        return found


def log_text(settings: LogSettings) -> str:
    """The settings as JSON for ``--log``: what differs from the default, without the secret."""
    default = LogSettings()
    told = {
        field.name: str(value) if isinstance(value, Path) else value
        for field in fields(LogSettings)
        if field.name != "key" and (value := getattr(settings, field.name)) != getattr(default, field.name)
    }
    return msgspec.json.encode(told).decode()


def log_of(text: str | None, variables: Mapping[str, str], base: LogSettings | None = None) -> LogSettings:
    """The settings of ``--log`` over those of ``base``; the secret may stand in the environment.

    Raises:
        UserError: no JSON object, an unknown name, a value of the wrong type or out of bounds.
    """
    names = [field.name for field in fields(LogSettings) if field.name != "key"]
    try:
        told = msgspec.json.decode(text or "{}", type=dict[str, Any])
        unknown = sorted(told.keys() - set(names))
        if unknown:
            raise UserError(f"--log: '{unknown[0]}' is no setting; there are {', '.join(names)}")
        known = {} if base is None else {field.name: getattr(base, field.name) for field in fields(LogSettings)}
        secret = variables.get(LOG_KEY, "") or known.pop("key", "")
        made = msgspec.convert({**known, **told, "key": secret}, LogSettings, dec_hook=lambda kind, value: kind(value))
    except msgspec.MsgspecError as error:
        raise UserError(f'--log: {error}; write e.g. --log \'{{"sample": 0.1, "omitted": ["ssn"]}}\'') from error
    if made.hashed:
        made.secret()
    return made

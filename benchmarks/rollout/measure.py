"""Measures what docs/statistics.md claims of the sequential tests: ten minutes on one core, less with fewer --runs.

    .venv/bin/python benchmarks/rollout/measure.py --runs 2000 --seed 1 > table.md

Everything goes through the public classes of ``trimtab.stats`` (whole rollouts through ``analyse``), but for the harm
of ``RateTest`` by looks, which is judged for all runs at once by the function that the class calls
(tests/stats/test_rate.py holds both to the same arithmetic).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from trimtab.core.domain.verdict import Verdict
from trimtab.core.profiles.pairs import shift_weights
from trimtab.core.rollout.analysis import analyse
from trimtab.core.rollout.facts import ArmCounts, Look, RolloutFacts
from trimtab.core.rollout.plan import Guardrails, RolloutPlan
from trimtab.core.stats.rate import ODDS, ODDS_WEIGHTS, conditional_log_ratios
from trimtab.stats import MeanTest, QuantileTest, RateTest

Stop = tuple[str, int]
"""Verdict, and rows per arm (rate, split), pairs (paired) or values per arm (quantile) when it came."""


def harm_by_looks(p0: float, p1: float, share: float, runs: int, seed: int) -> tuple[float, int]:
    """Share of runs in which harm is called, and the median rows per arm until then (10,000 where it is not).

    10,000 rows per arm at equal shares, a look every 100 per arm; else 20,000 rows in all, a look every 200.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    logs = np.zeros((runs, ODDS.size))
    stops = np.full(runs, 10_000)
    found = np.zeros(runs, dtype=bool)
    for look in range(1, 101):
        n1 = np.full(runs, 100) if share == 0.5 else generator.binomial(200, share, runs)
        bad0, bad1 = generator.binomial(200 - n1, p0), generator.binomial(n1, p1)
        logs += conditional_log_ratios(bad1, bad0 + bad1, n1, np.full(runs, 200))
        now = (np.exp(logs) @ ODDS_WEIGHTS >= 20) & ~found
        stops[now] = 100 * look
        found |= now
    return float(found.mean()), int(np.median(stops))


def single_request_run(generator: np.random.Generator, p0: float, p1: float, share: float) -> Stop:
    """A look after every request, with the known share."""
    test = RateTest(alpha=0.05)
    rows = 20_000
    arm = generator.random(rows) < share
    bad = generator.random(rows) < np.where(arm, p1, p0)
    for row in np.flatnonzero(bad):  # a good request changes nothing in the evidence of harm
        test.update(int(not arm[row]), int(not arm[row]), int(arm[row]), int(arm[row]), share=share)
        if test.log_e_value >= np.log(20):
            return "failed", int(row + 1) // 2
    return "inconclusive", rows // 2


def rate_false_success(generator: np.random.Generator, p0: float, share: float, margin: float) -> Stop:
    """The challenger is worse by exactly the margin: how often is it ever called successful?"""
    test = RateTest(alpha=0.05, margin=margin)
    for look in range(1, 101):
        n1 = 100 if share == 0.5 else int(generator.binomial(200, share))
        n0 = 200 - n1
        test.update(int(generator.binomial(n0, p0)), n0, int(generator.binomial(n1, p0 + margin)), n1)
        if test.verdict == "successful":
            return "successful", 100 * look
    return test.verdict, 10_000


def rate_success(generator: np.random.Generator, p: float, share: float, margin: float) -> Stop:
    """Both arms are equal: when is the challenger called successful?"""
    test = RateTest(alpha=0.05, margin=margin)
    for look in range(1, 301):
        n1 = 100 if share == 0.5 else int(generator.binomial(200, share))
        n0 = 200 - n1
        test.update(int(generator.binomial(n0, p)), n0, int(generator.binomial(n1, p)), n1)
        if test.verdict != "inconclusive":
            return test.verdict, 100 * look
    return test.verdict, 30_000


def scores(generator: np.random.Generator, rows: int, noise: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Brier losses at a base rate of 24 % of two classifiers that see the true log-odds through noise of these sds."""
    log_odds = generator.normal(-1.45, 1.1, rows)
    label = generator.random(rows) < 1 / (1 + np.exp(-log_odds))
    losses = [(1 / (1 + np.exp(-(log_odds + generator.normal(0, sd, rows)))) - label) ** 2 for sd in noise]
    return losses[0], losses[1]


def paired_run(losses: tuple[np.ndarray, np.ndarray], margin: float, alpha: float = 0.05, look: int = 10) -> Stop:
    """A look every 10 labelled rows until decided."""
    test = MeanTest(alpha=alpha, margin=margin, paired=True)
    champion, challenger = losses
    for start in range(0, champion.size, look):
        test.update(champion[start : start + look], challenger[start : start + look])
        if test.verdict != "inconclusive":
            return test.verdict, start + look
    return "inconclusive", champion.size


def split_run(losses: tuple[np.ndarray, np.ndarray], margin: float) -> Stop:
    """The same losses, but each row is scored by one version only; a look every 50 rows per arm."""
    test = MeanTest(alpha=0.05, margin=margin, paired=False)
    half = losses[0].size // 2
    champion, challenger = losses[0][:half], losses[1][half:]
    for start in range(0, half, 50):
        test.update(champion[start : start + 50], challenger[start : start + 50])
        if test.verdict != "inconclusive":
            return test.verdict, start + 50
    return "inconclusive", half


def quantile_run(generator: np.random.Generator, factor: float, margin: float) -> Stop:
    """Latencies about log-normal (p95 near 52 ms), the challenger's times ``factor``; a look every 100 per arm."""
    test = QuantileTest(q=0.95, alpha=0.05, margin=margin)
    for look in range(1, 51):
        champion, challenger = generator.lognormal(np.log(20), 0.58, (2, 100))
        test.update(champion, factor * challenger)
        if test.verdict != "inconclusive":
            return test.verdict, 100 * look
    return "inconclusive", 5_000


def campaign(
    run: Callable[[np.random.Generator], Stop], runs: int, seed: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Share of each verdict, and the median rows of the runs that ended in it."""
    generator = np.random.Generator(np.random.PCG64(seed))
    stops = [run(generator) for _ in range(runs)]
    shares, medians = {}, {}
    for verdict in ("failed", "successful", "inconclusive"):
        rows = [rows for found, rows in stops if found == verdict]
        shares[verdict] = len(rows) / runs
        if rows:
            medians[verdict] = int(np.median(rows))
    medians["all"] = int(np.median([rows for _, rows in stops]))
    return shares, medians


def rate_lines(runs: int, seed: int) -> Iterator[str]:
    yield "\n## RateTest: false 'failed' at any time, both arms equal (claim: at most 5 %)\n"
    yield "| rate | share 1 % | share 5 % | share 50 % |\n|---|---|---|---|"
    for p in (0.001, 0.05, 0.2):
        cells = [harm_by_looks(p, p, s, runs, seed)[0] for s in (0.01, 0.05, 0.5)]
        yield f"| {100 * p:g} % | " + " | ".join(f"{100 * cell:.1f} %" for cell in cells) + " |"
    yield "\n## RateTest: harm found, equal shares, a look every 100 rows per arm\n"
    yield "| rates | found | median rows per arm |\n|---|---|---|"
    for p0, p1 in ((0.05, 0.07), (0.05, 0.1), (0.2, 0.25), (0.2, 0.22), (0.001, 0.005), (0.001, 0.01)):
        found, median = harm_by_looks(p0, p1, 0.5, runs, seed + 1)
        yield f"| {100 * p0:g} -> {100 * p1:g} % | {100 * found:.1f} % | {median:,} |"
    yield "\n## RateTest: a look after every request, known share 5 %, 20,000 requests\n"
    yield "| rates | stopped |\n|---|---|"
    for p0, p1 in ((0.001, 0.001), (0.05, 0.05), (0.05, 0.1)):
        shares, _ = campaign(lambda g, a=p0, b=p1: single_request_run(g, a, b, 0.05), runs // 8, seed)
        yield f"| {100 * p0:g} -> {100 * p1:g} % | {100 * shares['failed']:.1f} % |"
    yield "\n## RateTest: 'successful' within a margin of 1 point\n"
    yield "| rate | share | false, worse by exactly the margin (claim: at most 5 %) | equal: median rows per arm |"
    yield "|---|---|---|---|"
    for p, share in ((0.001, 0.5), (0.05, 0.5), (0.2, 0.5), (0.05, 0.05)):
        wrong, _ = campaign(lambda g, p=p, s=share: rate_false_success(g, p, s, 0.01), runs // 8, seed + 2)
        shares, medians = campaign(lambda g, p=p, s=share: rate_success(g, p, s, 0.01), runs // 50, seed + 3)
        text = (
            f"{medians['all']:,}"
            if shares["successful"] > 0.5
            else f"over 30,000 ({100 * shares['successful']:.0f} % by then)"
        )
        yield f"| {100 * p:g} % | {100 * share:g} % | {100 * wrong['successful']:.1f} % | {text} |"


def mean_lines(runs: int, seed: int) -> Iterator[str]:
    generator = np.random.Generator(np.random.PCG64(seed))
    yield "\n## MeanTest, paired: Brier losses of two classifiers, base rate 24 %, a look every 10 labelled rows\n"
    yield "| noise of the two | difference | sd | margin | failed | successful | median rows | split: rows per arm |"
    yield "|---|---|---|---|---|---|---|---|"
    for noise in ((0.4, 0.4), (0.4, 0.65), (0.4, 1.0), (0.4, 1.25), (0.8, 0.4)):
        champion, challenger = scores(generator, 1_000_000, noise)
        difference = challenger - champion
        for margin in (0.005, 0.01, 0.02):
            shares, medians = campaign(
                lambda g, n=noise, m=margin: paired_run(scores(g, 20_000, n), m), runs // 10, seed
            )
            split, between = campaign(lambda g, n=noise, m=margin: split_run(scores(g, 40_000, n), m), runs // 80, seed)
            late = f" ({100 * split['inconclusive']:.0f} % undecided at 20,000)" if split["inconclusive"] else ""
            yield (
                f"| {noise[0]}, {noise[1]} | {difference.mean():+.4f} | {difference.std():.3f} | {margin} "
                f"| {100 * shares['failed']:.0f} % | {100 * shares['successful']:.0f} % "
                f"| {medians['all']:,} | {between['all']:,}{late} |"
            )
    yield "\n## MeanTest: false verdicts over 5,000 rows, a look every 10 (claim: at most 5 % each)\n"
    yield "| | false 'failed', equal models | false 'successful', worse by exactly the margin 0.02 |\n|---|---|---|"
    yield f"| paired | {false_failed(True, runs // 4, seed)} | {false_successful(True, runs // 4, seed)} |"
    yield f"| split | {false_failed(False, runs // 20, seed)} | {false_successful(False, runs // 20, seed)} |"


def false_failed(paired: bool, runs: int, seed: int) -> str:
    def run(generator: np.random.Generator) -> Stop:
        losses = scores(generator, 5_000, (0.6, 0.6))
        return fixed_run(losses, paired, 0.0, "failed")

    return f"{100 * campaign(run, runs, seed)[0]['failed']:.1f} %"


def false_successful(paired: bool, runs: int, seed: int) -> str:
    def run(generator: np.random.Generator) -> Stop:
        champion = generator.random(5_000) * 0.9
        challenger = np.clip(champion + 0.02 + generator.choice([-0.02, 0.02], 5_000), 0, 1)
        noise = generator.permutation(champion) if not paired else champion
        return fixed_run((noise, challenger), paired, 0.02, "successful")

    return f"{100 * campaign(run, runs, seed)[0]['successful']:.1f} %"


def fixed_run(losses: tuple[np.ndarray, np.ndarray], paired: bool, margin: float, watched: str) -> Stop:
    test = MeanTest(alpha=0.05, margin=margin, paired=paired)
    for start in range(0, losses[0].size, 10):
        test.update(losses[0][start : start + 10], losses[1][start : start + 10])
        if test.verdict == watched:
            return watched, start + 10
    return "inconclusive", losses[0].size


def quantile_lines(runs: int, seed: int) -> Iterator[str]:
    yield "\n## QuantileTest: p95 of latencies near 52 ms, margin 5 ms, a look every 100 per arm, up to 5,000 per arm\n"
    yield "| challenger slower by | failed | successful | median values per arm |\n|---|---|---|---|"
    for factor in (1.0, 1.0963, 1.2, 1.5):
        shares, medians = campaign(lambda g, f=factor: quantile_run(g, f, 5.0), runs // 10, seed)
        cells = f"{100 * shares['failed']:.1f} % | {100 * shares['successful']:.1f} %"
        yield f"| {100 * (factor - 1):.3g} % | {cells} | {medians['all']:,} |"


def harmless_looks(generator: np.random.Generator, hours: int, labelled: bool) -> tuple[Look, ...]:
    """Twenty requests an hour, half to each version. Labelled: equal models, errors and slow answers at 3 % in both
    arms, 300 rows a day. Unlabelled: predictions that differ on exactly 20 % of the rows, scores by exactly 0.1."""
    out = []
    for hour in range(1, hours + 1):
        arms = [
            ArmCounts(10, int(generator.binomial(10, 0.03)), int(generator.binomial(10, 0.03)), 0) for _ in range(2)
        ]
        one, two = scores(generator, 12 if labelled else 0, (0.6, 0.6))
        shift = generator.normal(0.0 if labelled else 0.1, 0.08, 20)
        out.append(
            Look(
                hour * 3600.0,
                arms[0],
                arms[1],
                paired_champion_loss=one,
                paired_challenger_loss=two,
                compared=20,
                disagreed=int(generator.binomial(20, 0.2)),
                score_shift=shift_weights(np.clip(shift, -1, 1)),
            )
        )
    return tuple(out)


def rollout_run(generator: np.random.Generator, plan: RolloutPlan, labelled: bool) -> Stop:
    """A whole rollout of twelve days, looked at every six hours; the hours until it is stopped."""
    looks = harmless_looks(generator, 24 * 12, labelled)
    for count in range(6, len(looks) + 1, 6):
        if analyse(plan, RolloutFacts(looks[:count]), 0.0, looks[count - 1].at_s).verdict is Verdict.FAILED:
            return "failed", count
    return "inconclusive", len(looks)


def rollout_lines(runs: int, seed: int) -> Iterator[str]:
    yield "\n## analyse: harmless challengers stopped in twelve days, a look every six hours (claim: at most 5 %)\n"
    yield "| situation | days as blocks | rows as independent |\n|---|---|---|"
    guardrails = Guardrails(error_rate_max=0.03)  # exactly what both arms have
    for text, labelled, plan in (
        ("labels: equal losses, error rate at its limit", True, RolloutPlan(guardrails=guardrails, margin=0.0)),
        (
            "no labels: disagreement, score shift and error rate at their limits",
            False,
            RolloutPlan(guardrails=guardrails, labels_min=0),
        ),
    ):
        cells = []
        for block_s in (86_400.0, 0.0):
            rules = replace(plan, block_s=block_s)
            shares, _ = campaign(lambda g, r=rules, x=labelled: rollout_run(g, r, x), runs // 10, seed)
            cells.append(f"{100 * shares['failed']:.1f} %")
        yield f"| {text} | {cells[0]} | {cells[1]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["rate", "mean", "quantile", "rollout"])
    options = parser.parse_args()
    parts = {"rate": rate_lines, "mean": mean_lines, "quantile": quantile_lines, "rollout": rollout_lines}
    print(f"Measured with --runs {options.runs} --seed {options.seed}.")
    for name, lines in parts.items():
        if options.only in (None, name):
            began = time.perf_counter()
            for line in lines(options.runs, options.seed):
                print(line, flush=True)
            print(f"\n({name}: {time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()

"""The whole comparison on a small history, held against the formulas of the documentation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.backtest.conftest import table
from trimtab.core.domain.errors import DataError, UserError
from trimtab.replay.backtest.compare import Comparison, compare
from trimtab.replay.backtest.fits import Fits
from trimtab.replay.backtest.history import Question, load
from trimtab.replay.backtest.html import to_html
from trimtab.replay.backtest.labels import schedule
from trimtab.replay.backtest.report import recommended, to_json

POLICIES = ("never", "every:1", "every:3", "every:3:window", "error:0.1", "drift:psi0.2", "adwin", "cara")
ALL = (*POLICIES, "trimtab", "trimtab:single", "oracle")
BATCHES = 10


def question(**more: object) -> Question:
    return Question(target="late", time="at", **({"ignore": ("known",), "batches": BATCHES} | more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done() -> Comparison:
    return compare(table(), question(label_batches=1), ALL, price=0.1, jobs=1)


def test_cost_and_regret_are_what_the_documentation_says(done: Comparison) -> None:
    """A person checks the figures with a calculator."""
    of = {policy.name: policy for policy in done.policies}
    never, best = np.array(of["never"].loss), of["oracle"].cost
    for policy in done.policies:
        cost = (sum(policy.loss) + 0.1 * never.mean() * policy.retrains) / never.sum()
        assert policy.cost == pytest.approx(cost)
        assert policy.regret == pytest.approx((cost - best) / (1 - best))
        assert policy.retrains == sum(action.action == "retrain" for action in policy.actions)
        assert len(policy.loss) == BATCHES
    assert of["never"].cost == 1.0
    assert of["oracle"].regret == 0.0


def test_no_policy_of_single_versions_costs_less_than_the_oracle(done: Comparison) -> None:
    """The oracle chose in hindsight among all that the others could do."""
    of = {policy.name: policy.cost for policy in done.policies}
    assert all(of["oracle"] <= of[name] + 1e-9 for name in POLICIES)


def test_trimtab_finds_the_change(done: Comparison) -> None:
    """What x means turns round in the middle: never training again is dear, and so is training all the time."""
    of = {policy.name: policy for policy in done.policies}
    assert of["trimtab"].cost < 0.95
    assert 1 <= of["trimtab"].retrains <= BATCHES - 2
    assert of["trimtab"].versions >= of["trimtab:single"].versions == 1.0
    assert all(action.reason for policy in done.policies for action in policy.actions)


def test_models_are_shared_by_all_policies(done: Comparison) -> None:
    """Two kinds for each batch that has new labels, the first version, and CARA's five small ones."""
    with_labels = BATCHES - 2
    assert done.fits <= 2 * with_labels + 1 + 5


def test_the_json_is_complete_and_plain(done: Comparison) -> None:
    """A script reads it."""
    found = json.loads(to_json(done))
    assert found["metric"] == "log_loss"
    assert len(found["batches"]) == BATCHES
    names = {"name", "loss", "cost", "regret", "retrains", "rejected", "rollbacks", "actions", "seconds"}
    assert all(names <= set(policy) for policy in found["policies"])
    action = next(p for p in found["policies"] if p["name"] == "every:3")["actions"][0]
    assert action == {"batch": 3, "action": "retrain", "strategy": "full", "reason": "every 3 batches"}


def test_the_page_needs_nothing_else(done: Comparison) -> None:
    """It is sent by mail and opened without a network."""
    page = to_html(done)
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert all(policy.name in page for policy in done.policies)
    assert "retraining:" in page


def test_what_it_recommends_are_settings(done: Comparison) -> None:
    """They are pasted into trimtab.yaml."""
    from ruamel.yaml import YAML

    from trimtab.project.settings import Retraining

    advice = recommended(done)
    assert advice is not None
    Retraining.model_validate(YAML(typ="safe").load(advice.yaml)["retraining"])


def test_training_that_does_not_pay_is_not_recommended() -> None:
    """Nothing changes, and runs are dear."""
    found = recommended(compare(table(change=2.0), question(), ("never", "every:1"), price=0.5, jobs=1))
    assert found is not None
    assert found.policy == "never"
    assert "manual" in found.yaml


def test_numbers_are_predicted_too() -> None:
    """Regression, by the mean absolute error."""
    found = compare(table(number=True), question(label_batches=2), ("never", "every:2", "trimtab", "oracle"), jobs=2)
    assert found.metric == "mae"
    assert next(p for p in found.policies if p.name == "every:2").cost < 1


def test_jobs_change_nothing_but_the_time() -> None:
    """More processors, the same figures."""
    one, two = (compare(table(), question(), ("never", "every:2", "trimtab"), jobs=jobs) for jobs in (1, 2))
    assert [policy.loss for policy in one.policies] == [policy.loss for policy in two.policies]


def test_kept_answers_are_the_same(tmp_path: Path) -> None:
    """A second comparison of the same history fits nothing again."""
    history = load(table(), question())
    when = schedule(history)
    answers = []
    for _ in range(2):
        with Fits(history, when, cache=tmp_path) as fits:
            answers.append(fits.get("full", 3).answers)
    assert len(list(tmp_path.iterdir())) == 1
    assert (answers[0] == answers[1]).all()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"ignore": ("knwon",)}, "did you mean 'known'"),
        ({"label_batches": 1, "label_delay_s": 5.0}, "only one of"),
        ({"batches": 1}, "--batches"),
        ({"batches": 900}, "too few"),
        ({"initial": 0.0}, "--initial"),
        ({"metric": "auroc"}, "--metric must be one of"),
        ({"metric": "mae"}, "is text"),
    ],
)
def test_bad_options_are_named(more: dict[str, object], text: str) -> None:
    """A typing mistake on the command line."""
    with pytest.raises((UserError, DataError), match=text):
        compare(table(), question(**more), ("never",))


@pytest.mark.parametrize("name", ["sometimes", "every:0", "every:x", "error:-1", "drift:0.2", "never:3", "trimtab:x"])
def test_unknown_policies_are_named(name: str) -> None:
    """The same, in --policies."""
    with pytest.raises(UserError, match=name):
        compare(table(), question(), (name,))

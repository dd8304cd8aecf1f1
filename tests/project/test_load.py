"""Reading the project file: every problem at once, each where it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.domain.errors import ConfigError, NotFoundError, Problem
from trimtab.project.load import find_project, load, parse
from trimtab.project.settings import Project

MINIMAL = "name: flights\ntask: classification\ndata:\n  files: a.parquet\n  time: t\n  target: late\n"


def problems(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.problems


def one(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


def test_five_lines_make_a_project() -> None:
    """A new user writes only what must be written."""
    project = parse(MINIMAL)
    assert project.data.files == ("a.parquet",)
    assert project.metric == "log_loss"
    assert project.response.mode == "approve"


def test_durations_are_seconds_inside() -> None:
    assert parse(MINIMAL + "rollout: {bake: 1d12h}\n").rollout.bake == 129600


def test_all_problems_come_at_once_each_with_its_line() -> None:
    """Somebody's first file has many mistakes: one run names them all, in the order of the lines."""
    text = (
        "name: Late Flights\n"
        "task: clasification\n"
        "data:\n"
        "  files: a.parquet\n"
        "  tim: t\n"
        "  target: late\n"
        "rollout:\n"
        "  steps:\n"
        "    - 5\n"
        "    - 120\n"
        "  bake: 3600\n"
    )
    found = [(problem.line, problem.path) for problem in problems(text)]
    assert found == [
        (1, "name"),
        (2, "task"),
        (3, "data.time"),
        (5, "data.tim"),
        (10, "rollout.steps[1]"),
        (11, "rollout.bake"),
    ]


@pytest.mark.parametrize(
    ("line", "path", "words", "hint"),
    [
        ("rollot: {}", "rollot", "no such setting", "did you mean 'rollout'?"),
        ("rollout: {strategy: canry}", "rollout.strategy", "'canry' is not one of canary", "did you mean 'canary'?"),
        ("rollout: {bake: 7}", "rollout.bake", "7 has no unit", ""),
        ("rollout: {bake: soon}", "rollout.bake", "'soon' is not a duration", ""),
        ("rollout: {bake: -1h}", "rollout.bake", "'-1h' is not a duration", ""),
        ("rollout: {steps: [5, x, 100]}", "rollout.steps[1]", "must be a whole number, found 'x'", ""),
        ("rollout: {steps: 100}", "rollout.steps", "must be a list, found 100", "e.g. [100]"),
        ("rollout: {paired: maybe}", "rollout.paired", "must be true or false, found 'maybe'", ""),
        ("rollout: {alpha: 5}", "rollout.alpha", "must be less than 1, found 5", "0.05 is 5 %"),
        ("serving: 8080", "serving", "must be a section of 'key: value' lines, found 8080", ""),
        ("serving: {port: 99999}", "serving.port", "less than or equal to 65535, found 99999", ""),
        ("serving: {host: 1}", "serving.host", "must be text, found 1", "put it in quotes"),
        ("estimator: {function: build}", "estimator.function", "does not have the right form", "module:function"),
        ("estimator: {parameters: {max-depth: 3}}", "estimator.parameters.max-depth", "is not a name", ""),
        ("tracking: {uri: ''}", "tracking.uri", "is empty", ""),
        ("monitoring: {alpha: .nan}", "monitoring.alpha", "nan is not a value that can stand here", ""),
        ("clock: sundial", "clock", "'sundial' is not one of wall, event", ""),
    ],
)
def test_a_wrong_value_is_named_with_what_was_found(line: str, path: str, words: str, hint: str) -> None:
    problem = one(MINIMAL + line + "\n")
    assert problem.path == path
    assert problem.line == 7
    assert words in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ("retraining: {window: 30d}", "retraining.window"),
        ("retraining: {every: 30d}", "retraining.every"),
        ("retraining: {on: [drift, manual]}", "retraining.on[1]"),
        ("retraining: {on: manual, budget: 3}", "retraining.budget"),
        ("retraining: {on: []}", "retraining.on"),
        ("retraining: {on: schedule}", "retraining"),
        ("retraining: {strategy: sliding-window}", "retraining"),
        ("rollout: {strategy: blue-green, steps: [100]}", "rollout.steps"),
        ("rollout: {strategy: shadow, paired: true}", "rollout.paired"),
        ("rollout: {steps: [5, 50]}", "rollout.steps"),
        ("rollout: {steps: [50, 25, 100]}", "rollout.steps[1]"),
        ("rollout: {bake: 20d}", "rollout.bake"),
        ("gates: {metric: mae}", "gates.metric"),
        ("notification: {severity: severe}", "notification.severity"),
    ],
)
def test_a_setting_without_effect_is_an_error(lines: str, path: str) -> None:
    """Somebody sets a window and forgets the strategy: silence would cost them a model trained on everything."""
    assert one(MINIMAL + lines + "\n").path == path


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ("  label_time: known\n  label_delay: 2h\n", "data.label_delay"),
        ("  label_maturity: 0.95\n", "data.label_maturity"),
        ("  entity: late\n", "data.entity"),
        ("  ignore: [t]\n", "data.ignore[0]"),
        ("  ignore: [a, b, a]\n", "data.ignore[2]"),
        ("  slices: [late]\n", "data.slices[0]"),
    ],
)
def test_columns_have_one_role_each(lines: str, path: str) -> None:
    assert one(MINIMAL + lines).path == path


def test_positive_has_no_effect_in_regression() -> None:
    assert one(MINIMAL.replace("classification", "regression") + "  positive: 1\n").path == "data.positive"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "is empty"),
        ("# only a comment\n", None, "is empty"),
        ("- a\n- b\n", 1, "found a list"),
        ("flights\n", 1, "found 'flights'"),
        ("name: a\nname: b\n", 2, "stands twice"),
        ("name: a\n  task: b\n", 2, "is not YAML"),
        ("name: [a\ntask: b\n", 2, "is not YAML"),
        ("name: 'a\n", None, "is not YAML"),
        ("name: \x01\n", None, "is not YAML"),
        ("name: *a\n", 1, "is not YAML"),
        ("name: a\n---\nname: b\n", 2, "is not YAML"),
    ],
)
def test_what_is_no_mapping_is_one_clear_problem(text: str, line: int | None, words: str) -> None:
    """A half-saved file, a merge conflict, the wrong file."""
    found = problems(text)
    assert len(found) == 1
    assert words in found[0].message
    if line is not None:
        assert found[0].line == line


def test_nothing_in_a_file_is_executed() -> None:
    """A tag that other YAML loaders run is only a value that cannot stand there."""
    found = problems(MINIMAL.replace("name: flights", "name: !!python/object/apply:os.system ['true']"))
    assert {problem.path for problem in found} == {"name"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("estimator: &e {parameters: *e}", "found nothing"),
        ("x: &a [1]\nestimator: {parameters: &p {<<: {a: 1}}}", "no such setting"),
    ],
)
def test_aliases_end_as_problems_too(lines: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(MINIMAL + lines + "\n")


def test_a_file_that_unfolds_without_end_is_refused() -> None:
    """Nine lines of aliases of aliases hold a billion values."""
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(ConfigError, match="more than 10,000 values"):
        parse("\n".join(rows))


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "trimtab.yaml")
    (tmp_path / "trimtab.yaml").write_bytes(b"name: a\ntask: \xff\n")
    with pytest.raises(ConfigError, match=r"trimtab\.yaml:2: is not UTF-8: byte 0xff"):
        load(tmp_path / "trimtab.yaml")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "folder")


def test_the_nearest_project_file_above_is_found(tmp_path: Path) -> None:
    """A command is given deep inside the project."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "trimtab.yaml").write_text(MINIMAL)
    assert find_project(deep) == tmp_path / "trimtab.yaml"
    assert find_project(tmp_path / "trimtab.yaml") == tmp_path / "trimtab.yaml"


def test_without_a_project_file_the_way_to_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="trimtab init"):
        find_project(tmp_path)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_the_file_holds_there_is_a_project_or_named_problems(value: object) -> None:
    """Any document at all, under every section: never a traceback of a library."""
    for section in ("data", "rollout", "retraining", "notification"):
        text = json.dumps({"name": "a", "task": "classification", section: value})
        assert _named(text)


def _named(text: str) -> bool:
    """The text is a project, or has problems that say something."""
    try:
        return isinstance(parse(text), Project)
    except ConfigError as error:
        return bool(error.problems) and all(problem.message for problem in error.problems)


def test_a_project_reads_back_from_its_record() -> None:
    """Reproducing a run: the settings that were logged are the settings that were used."""
    project = parse(MINIMAL + "rollout: {bake: 1d2h3m}\nmonitoring: {every: 0.25s}\n")
    assert Project.model_validate_json(_without_unset(project)) == project


def _without_unset(project: Project) -> str:
    return project.model_dump_json(exclude_unset=True)

"""What the workflows may do, and whose code they run."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests import needs

needs.extra("yaml", "dashboards")

WORKFLOWS = sorted((Path(__file__).parents[1] / ".github" / "workflows").glob("*.yml"))
FILES = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def workflow(path: Path) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = workflow(path)["jobs"]
    return found


def test_there_are_workflows() -> None:
    assert {"test", "weekly", "colab"} <= {path.stem for path in WORKFLOWS}


def test_every_action_is_a_commit_with_its_version_beside_it_and_the_same_everywhere() -> None:
    used: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"^ *(?:- )?uses: (.*)$", text, re.M):
            found = re.fullmatch(r"([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line)
            assert found, f"{path.name}: {line}"
            used.setdefault(found[1], set()).add(f"{found[2]} {found[3]}")
        assert len(re.findall(r"\buses:", text)) == len(re.findall(r"^ *(?:- )?uses: .*@", text, re.M))
    assert len(used) >= 4
    assert {name: commits for name, commits in used.items() if len(commits) != 1} == {}


@FILES
def test_a_checkout_leaves_no_credentials_to_what_comes_after(path: Path) -> None:
    steps = [step for job in jobs(path).values() for step in job["steps"]]
    kept = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert kept
    assert all(step["with"]["persist-credentials"] is False for step in kept)


@FILES
def test_a_job_that_may_write_runs_no_code_of_ours(path: Path) -> None:
    whole = workflow(path)
    assert set(whole["permissions"].values()) <= {"read"}
    for name, job in whole["jobs"].items():
        if "write" not in job.get("permissions", {}).values():
            continue
        assert [set(step) - {"id"} for step in job["steps"]] == [{"uses"}], name
        assert "checkout" not in job["steps"][0]["uses"]
        # It takes what another job made, which may write nowhere.
        assert "write" not in whole["jobs"][job["needs"]]["permissions"].values()


def test_only_what_was_tested_and_pushed_is_published() -> None:
    (path,) = [path for path in WORKFLOWS if "deploy-pages" in path.read_text(encoding="utf-8")]
    found = jobs(path)
    assert found["deploy"]["needs"] == "build"
    assert (found["build"]["needs"], found["build"]["if"]) == ("test", "github.event_name == 'push'")


@FILES
def test_no_workflow_runs_what_a_stranger_may_write(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(pull_request_target|workflow_run|issue_comment)\b", text)
    for job in jobs(path).values():
        assert not any("${{" in step.get("run", "") for step in job["steps"])

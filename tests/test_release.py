"""Is what surrounds the package right: the action, which is run, the citation, the forms for issues?"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

import rbrlang

POLICY = """\
prop a "Response says sorry."
prop b "Response helps."
response r ranks good > bad
r.good := a | b
r.bad := otherwise
category "c" -> r
test "both" for r {
  given a, b
  expect good
}
"""
ACTION = CHECKOUT / ".github" / "actions" / "rbr-check" / "action.yml"
FORMS = sorted(path for path in (CHECKOUT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class Runner:
    """Runs the action's steps as GitHub does: expressions filled in, `bash` that stops at the first failure."""

    def __init__(self, folder: Path, **given: str) -> None:
        action = _read(ACTION)
        assert action["runs"]["using"] == "composite"
        self.steps = [step for step in action["runs"]["steps"] if "run" in step and step["name"] != "install"]
        defaults = {name: one.get("default", "") for name, one in action["inputs"].items()}
        assert given.keys() <= defaults.keys()
        self.inputs = {name: "" if "${{" in value else value for name, value in defaults.items()} | given
        self.folder = folder
        command = folder.parent / "bin" / "rbrc"
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rbrlang.cli "$@"\n', encoding="utf-8")
        command.chmod(0o755)
        path = f"{command.parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT)}

    def _filled(self, text: str) -> str:
        filled = re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: self.inputs[found[1]], text)
        assert "${{" not in filled
        return filled

    def run(self) -> tuple[str, str]:
        """The name of the step that failed, or nothing, and all that was said."""
        said = ""
        for step in self.steps:
            asked = re.fullmatch(r"inputs\.([\w-]+) != ''", step.get("if", "inputs.policy != ''"))
            assert asked is not None
            if not self.inputs[asked[1]]:
                continue
            assert "${{" not in step["run"], "an input in a script would be read as a command"
            values = {name: self._filled(value) for name, value in step["env"].items()}
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            environment = self.environment | values
            done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
            said += done.stdout + done.stderr
            if done.returncode:
                return step["name"], said
        return "", said


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A policy, committed on the branch that a pull request goes to."""
    folder = tmp_path / "a desk"
    folder.mkdir()
    (folder / "policy.rbr").write_text(POLICY, encoding="utf-8")
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "begin"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "HEAD"], cwd=folder, check=True)
    return folder


def test_the_action_accepts_a_good_policy_and_says_what_a_change_moves(project: Path) -> None:
    given = {"sarif": "found.sarif", "base": "main", "fail-if": "good->* > 10%"}
    step, said = Runner(project, **given).run()
    assert step == ""
    assert "nothing moves" in said
    assert json.loads((project / "found.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"
    (project / "policy.rbr").write_text(POLICY.replace("a | b", "a & b"), encoding="utf-8")
    step, said = Runner(project, **given).run()
    assert step == "diff"
    assert "50 %" in said, said
    assert Runner(project, base="main").run()[0] == "", "without a limit a change is only shown"


def test_the_action_stops_at_a_finding_with_its_annotation_and_sarif(project: Path) -> None:
    policy = project / "policy.rbr"
    policy.write_text(policy.read_text(encoding="utf-8") + "axiom nobody_said_this\n", encoding="utf-8")
    step, said = Runner(project, sarif="found.sarif").run()
    assert step == "check"
    assert re.search(r"::error file=policy\.rbr,line=\d+.*nobody_said_this", said)
    (run,) = json.loads((project / "found.sarif").read_text(encoding="utf-8"))["runs"]
    assert "RBR2001" in {result["ruleId"] for result in run["results"]}


def test_an_input_is_never_a_command(project: Path) -> None:
    step, _ = Runner(project, policy='policy.rbr"; touch taken; "').run()
    assert step == "check"
    assert not (project / "taken").exists()


def test_the_citation_is_of_this_version() -> None:
    citation = _read(CHECKOUT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (str(citation["version"]), citation["license"]) == (rbrlang.__version__, "MIT")
    paper = [f"{author['given-names'][0]}. {author['family-names']}" for author in citation["references"][0]["authors"]]
    notice = " ".join((CHECKOUT / "NOTICE").read_text(encoding="utf-8").split())
    assert f"{', '.join(paper[:-1])} and {paper[-1]}" in notice


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_shows(path: Path) -> None:
    form = _read(path)
    assert form.keys() == {"name", "description", "labels", "body"}
    ids = [item["id"] for item in form["body"]]
    assert len(set(ids)) == len(ids) >= 3
    for item in form["body"]:
        assert item["type"] in ("input", "textarea", "dropdown")
        known = {"label", "description", "placeholder", *({"render"} if item["type"] == "textarea" else ())}
        assert item["attributes"].keys() <= known | ({"options"} if item["type"] == "dropdown" else set())
        assert item.keys() <= {"type", "id", "attributes", "validations"}
    assert any(item.get("validations", {}).get("required") for item in form["body"])

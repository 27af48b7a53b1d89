"""`rbrc new`: what its README says is run, in order, in a fresh folder."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from rbrlang.cli.commands.tools.new import TEMPLATES
from rbrlang.cli.main import main


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert main(["new", str(tmp_path / "deep" / "desk")]) == 0
    return tmp_path / "deep" / "desk"


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_command_of_its_readme_and_its_workflow_works(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "desk"
    assert main(["new", str(project), "--from", template]) == 0
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    subprocess.run(["git", "add", "."], cwd=project, check=True)
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(["git", *identity, "commit", "-qm", "begin"], cwd=project, check=True)
    readme = (project / "README.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL) for line in block.splitlines()]
    workflow = (project / ".github" / "workflows" / "rbr.yml").read_text(encoding="utf-8")
    lines += [line for line in re.findall(r"run: (rbrc .*)", workflow) if "--against" not in line]
    assert len(lines) >= 10
    monkeypatch.chdir(project)
    for line in lines:
        command, *arguments = shlex.split(line, comments=True)
        assert (command, main(arguments)) == ("rbrc", 0), (line, capsys.readouterr())
    status = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True)
    assert status.stdout == "", "what the commands make is ignored, and they change nothing else"
    scored = [json.loads(line) for line in (project / "scored.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row["valid"] for row in scored)
    assert f"{len(scored)} completions of {len({str(row['prompt']) for row in scored})} prompts" in readme


def test_a_template_is_named_rightly_or_the_nearest_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TEMPLATES)
    assert main(["new", str(tmp_path / "desk"), "--from", "suport"]) == 2
    assert "there is no template `suport`; did you mean `support`?" in capsys.readouterr().err
    assert main(["new", str(tmp_path / "desk"), "--from", "zzz"]) == 2
    assert "there are library, refusals, support, rubric, agent, blank" in capsys.readouterr().err
    assert main(["new"]) == 2
    assert "name the folder to make" in capsys.readouterr().err
    assert not (tmp_path / "desk").exists()


def test_nothing_is_overwritten(project: Path, tmp_path: Path) -> None:
    (project / "policy.rbr").write_text("mine")
    assert main(["new", str(project)]) == 2
    assert (project / "policy.rbr").read_text() == "mine"
    file = tmp_path / "file"
    file.write_text("mine")
    assert main(["new", str(file)]) == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["new", str(empty), "--format", "json"]) == 0
    assert (empty / "policy.rbr").is_file()
    assert {p.name for p in tmp_path.iterdir()} == {"deep", "file", "empty"}, "no temporary folder stays behind"

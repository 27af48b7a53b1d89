"""The wheel carries all that rbrc needs: grammar, standard library, the demo's policy and data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import rbrlang

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built wheel unpacked by pip, without its dependencies and without the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return site


def rbrc(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the installed rbrc away from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(site), "NO_COLOR": "1"}
    command = [sys.executable, "-W", "error", "-m", "rbrlang.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_wheel_holds_the_project_and_nothing_else(installed: Path) -> None:
    (wheel,) = installed.parent.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"rbrlang/grammar/rbr.lark", "rbrlang/py.typed", "rbrlang/lang/reading/tables.json"} <= names
    assert {"rbrlang/report/templates/page.html", "rbrlang/report/templates/style.css"} <= names
    assert "rbrlang/examples/refusals/policy.rbr" in names
    library = {p.relative_to(CHECKOUT).as_posix() for p in (CHECKOUT / "stdlib_rules").rglob("*.*")}
    assert library
    assert {f"rbrlang/{name}" for name in library} <= names
    assert all(name.startswith("rbrlang") for name in names)


@pytest.mark.slow
def test_the_installed_package_is_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import rbrlang, rbrlang.lang.reading.grammar as g; print(rbrlang.__file__, g.grammar_path())"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert all(part.startswith(str(installed)) for part in out.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rbrc", "rbrlang"])
def test_the_command_has_the_packages_name_too(name: str, installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(installed / "bin" / name), "--version"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"rbrc {rbrlang.__version__}\n"


@pytest.mark.slow
def test_an_installed_rbrc_checks_a_policy_that_imports_the_library(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "p.rbr").write_text(
        "use std.safety.refusals as refusals\nresponse r ranks good > bad\n"
        "r.good := refusals.apology\nr.bad := otherwise\n"
    )
    result = rbrc(installed, "check", "p.rbr", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "r: a partition over 1 propositions" in result.stdout
    for template in ("support", "rubric"):  # of its own files, and of an example's
        assert rbrc(installed, "new", template, "--from", template, cwd=tmp_path).returncode == 0
        assert rbrc(installed, "check", f"{template}/policy.rbr", cwd=tmp_path).returncode == 0
    assert "## Prefer" in rbrc(installed, "explain", "RBR3001", cwd=tmp_path).stdout


@pytest.mark.slow
def test_an_installed_rbrc_starts_the_demo(installed: Path, tmp_path: Path) -> None:
    result = rbrc(installed, "demo", "--out", "here", "--until", "grade", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len((tmp_path / "here" / "by-cues.jsonl").read_text(encoding="utf-8").splitlines()) == 330
    fitted = rbrc(
        installed, "fit", "here/policy.rbr", "here/by-cues.jsonl", "--bootstrap", "0", "-o", "p.rbrc", cwd=tmp_path
    )
    assert fitted.returncode == 0, fitted.stdout + fitted.stderr
    assert rbrc(installed, "verify", "p.rbrc", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_an_installed_rbrc_measures_itself(installed: Path, tmp_path: Path) -> None:
    result = rbrc(installed, "bench", "--quick", "--only", "odd", "--only", "grade", "-o", "speed.md", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    page = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert "| completions a second of a core |" in page
    assert "Not measured" not in page


@pytest.mark.slow
def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    """Built twice under one `SOURCE_DATE_EPOCH`, the second time in another zone and from newer files."""
    wheels: list[bytes] = []
    copy = tmp_path / "copy"
    shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(".git", "node_modules", "__pycache__", ".venv*"))
    for at, (source, zone) in enumerate(((CHECKOUT, "UTC"), (copy, "Asia/Kolkata"))):
        for file in copy.rglob("*"):
            os.utime(file, (2_000_000_000 + at, 2_000_000_000 + at))
        build = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(tmp_path / zone),
            str(source),
        ]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "TZ": zone, "PYTHONHASHSEED": str(at)}
        subprocess.run(build, check=True, capture_output=True, env=environment)
        (wheel,) = (tmp_path / zone).glob("*.whl")
        wheels.append(wheel.read_bytes())
    assert wheels[0] == wheels[1]

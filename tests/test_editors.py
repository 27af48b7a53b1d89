"""Do the settings of `docs/editors.md` start the server in the editors they are for? Each opens a file with a mistake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT
from needs import EMACS, NEOVIM, Need, missing

POLICY = 'prop a "A."\nresponse r ranks x > y\nr.x := a\nr.y := b\n'
WAITED = """
vim.cmd.edit("policy.rbr")
vim.wait(30000, function() return #vim.diagnostic.get(0) > 0 end, 50)
for _, found in ipairs(vim.diagnostic.get(0)) do io.stdout:write(found.lnum + 1, " ", found.message, "\\n") end
vim.cmd("qa!")
"""
AWAITED = """
(package-initialize)
(require 'eglot)
(find-file "policy.rbr")
(apply #'eglot (eglot--guess-contact))
(let ((end (+ (float-time) 30)) found)
  (while (and (not (setq found (flymake-diagnostics))) (< (float-time) end))
    (flymake-start)
    (accept-process-output nil 0.1))
  (dolist (one found)
    (princ (format "%d %s\\n" (line-number-at-pos (flymake-diagnostic-beg one)) (flymake-diagnostic-text one)))))
(eglot-shutdown-all)
"""


def _documented(language: str) -> str:
    """The settings that the page shows."""
    page = (CHECKOUT / "docs" / "editors.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return block


def _told(folder: Path, program: str, need: Need, *arguments: str) -> str:
    """What an editor says of the mistake, `rbrc` of this checkout on its path."""
    found = shutil.which(program, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        missing(need, "it is not installed")
    (folder / "policy.rbr").write_text(POLICY, encoding="utf-8")
    command = folder / "rbrc"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rbrlang.cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT)}
    environment |= {name: str(folder / name) for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")}
    run = [found, *arguments]
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.editors
def test_neovim_shows_findings(tmp_path: Path) -> None:
    (tmp_path / "init.lua").write_text(_documented("lua"), encoding="utf-8")
    (tmp_path / "wait.lua").write_text(WAITED, encoding="utf-8")
    said = _told(tmp_path, "nvim", NEOVIM, "--headless", "--clean", "-u", "init.lua", "-S", "wait.lua")
    assert "4 unknown proposition `b`" in said


@pytest.mark.editors
def test_emacs_shows_findings(tmp_path: Path) -> None:
    (tmp_path / "init.el").write_text(_documented("elisp"), encoding="utf-8")
    (tmp_path / "wait.el").write_text(AWAITED, encoding="utf-8")
    said = _told(tmp_path, "emacs", EMACS, "--batch", "-l", "init.el", "-l", "wait.el")
    assert "4 rbrc [RBR2001]: unknown proposition `b`" in said

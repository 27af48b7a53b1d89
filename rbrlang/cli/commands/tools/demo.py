"""`rbrc demo`: the whole loop on the example policy and its texts, every step a command that one could type."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.render import use_colour
from rbrlang.cli.terminal import escaped, painted, say, warn


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its name, what it is for, and the command's arguments (a script's, for `rl`)."""

    name: str
    why: str
    arguments: tuple[str, ...]


def steps(folder: str, seed: int, rl_steps: int) -> tuple[Step, ...]:
    """The demo's steps, working in a folder."""
    policy, rows, artefact = f"{folder}/policy.rbr", f"{folder}/completions.jsonl", f"{folder}/policy.rbrc"
    graded, drawn = f"{folder}/graded.jsonl", f"{folder}/synthetic.jsonl"
    return (
        Step("check", "Prove that every completion has exactly one class.", ("check", policy)),
        Step(
            "test", "Run the policy's own tests, those on real text with the grader that needs no model.",
            ("test", policy, "--grader", "embedded"),
        ),
        Step("plan", "See what a grader has to be asked.", ("plan", policy, "--data", rows)),
        Step(
            "grade", "Let the grader read 330 written completions. All it has is the policy's cues: fast, and short-sighted.",
            ("grade", policy, rows, "--grader", "embedded", "-o", f"{folder}/by-cues.jsonl"),
        ),
        Step(
            "agree", "Let it learn from the human labels what cues cannot see; each text is judged by heads that never saw its prompt.",
            ("agree", policy, rows, "--cross-validate", "3", "--bootstrap", "200", "--disagreements", "2", "--seed", str(seed),
             "-o", graded),
        ),
        Step(
            "synth", "Draw ranked completions from the rules themselves, through each proposition's noise: no text needed.",
            ("synth", policy, "--prompts", "120", "--seed", str(seed), "-o", drawn),
        ),
        Step(
            "synth-fit", "Fit to them: how well can these rules rank with a grader this noisy?",
            ("fit", policy, drawn, "--seed", str(seed), "-o", f"{folder}/synthetic.rbrc"),
        ),
        Step(
            "fit", "Fit to the graded texts, ranked by their labels, beside a reward model that likes to be helpful.",
            ("fit", policy, graded, "--class-source", "labels", "--seed", str(seed), "-o", artefact),
        ),
        Step("verify", "The artefact carries policy, weights and proof of integrity.", ("verify", artefact)),
        Step(
            "eval", "How often does each reward order a pair wrongly, with this grader's answers?",
            ("eval", artefact, graded, "--class-source", "labels"),
        ),
        Step(
            "report", "Put all of this on one page for people: open it in a browser.",
            ("report", artefact, graded, "--class-source", "labels", "--title", "Refusals: the demo's reward", "-o", f"{folder}/report.html"),
        ),
        Step("score", "Reward completions with it.", ("score", artefact, graded, "-o", f"{folder}/scored.jsonl")),
        Step(
            "rl", "Train a small policy in JAX against it. The rules were fitted to stand beside the base reward: alone they need not know what it knows.",
            (artefact, rows, "--steps", str(rl_steps), "--seed", str(seed), "--curves", f"{folder}/curves.json"),
        ),
    )  # fmt: skip


def examples() -> Path:
    """The folder of the examples: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[3]
    inside = package / "examples"
    return inside if inside.is_dir() else package.parent / "examples"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc demo`."""
    names = [step.name for step in steps("", 0, 0)]
    parser.add_argument(
        "--out", metavar="DIR", default="rbrc-demo", help="where to leave the files (default: rbrc-demo)"
    )
    parser.add_argument("--until", choices=names, default=names[-1], help="stop after this step")
    shared.seed_argument(parser)
    parser.add_argument("--rl-steps", type=int, default=300, metavar="N", help="steps of each training run")
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Copy the example into the folder and run every step there."""
    folder = Path(options.out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"`{folder}` is a file; name a folder with `--out`")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("policy.rbr", "completions.jsonl"):
        shutil.copyfile(examples() / "refusals" / name, folder / name)
    plan = steps(options.out, options.seed, options.rl_steps)
    begun = time.perf_counter()
    for number, step in enumerate(plan, 1):
        _announce(number, len(plan), step)
        code = run_step(step)
        if code:
            warn(f"rbrc demo: step `{step.name}` ended with exit code {code}")
            return code
        if step.name == options.until:
            break
    sys.stdout.write(
        f"\nDone in {time.perf_counter() - begun:.0f} s. The files are in {options.out}/: {_listing(folder)}\n"
    )
    return 0


def _announce(number: int, total: int, step: Step) -> None:
    program = "rbrc" if step.name != "rl" else "python examples/jax_rl/train.py"
    line = f"{number}/{total}  {step.why}"
    if use_colour(sys.stdout):
        line = f"\x1b[1m{line}\x1b[0m"
    painted(sys.stdout, f"\n{line}\n$ {program} {escaped(shlex.join(step.arguments))}\n\n")
    sys.stdout.flush()


def run_step(step: Step) -> int:
    """Run one step; its exit code. A page that cannot be drawn for want of an extra is left out."""
    if step.name == "rl":
        _training()(step.arguments)
        return 0
    from rbrlang.cli.commands.reward import report
    from rbrlang.cli.main import main

    if step.name == "report" and report.missing():
        say(f"left out: the page needs {' and '.join(report.missing())}: {report.HOW_TO_GET}")
        return 0
    with guide.silence():
        return main(step.arguments)


def _training() -> Callable[[Sequence[str]], object]:
    """The `main` of the training example, which is a script and not part of the package."""
    path = examples() / "jax_rl" / "train.py"
    spec = importlib.util.spec_from_file_location("rbrlang_demo_train", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"`{path}` is missing; install rbrlang again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.main


def _listing(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))

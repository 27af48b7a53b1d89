"""The paper's experiments in small: one command, one page.

    python examples/jax_grpo/paper.py --all --out paper

Every study of `studies.py` on every seed: runs are done in parallel, those that several studies share once, and each is kept
as soon as it is done (`runs.jsonl`), so that the same command goes on where it was stopped. Written to the folder:
`paper.json` (all that was found, small), `paper.md`, `paper.png` (needs the extra `plot`). The last two are made again, without a
run, by

    python examples/jax_grpo/paper.py --from docs/paper.json --out docs
"""

# pyright: basic
from __future__ import annotations

import argparse
import fcntl
import importlib.util
import os
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import kept
import trial
from compare import ALONE, SMALL, write
from experiment import Plan
from page import page
from results import Lines, Report, key
from studies import SHOWN, STUDIES, TUNED, Setting, Study, settings_of, shown_seeds

SHORT = replace(SMALL, rl_steps=2, judged=1)


def _run(plan: Plan, seed: int, folder: Path, setting: Setting) -> tuple[dict[str, Any], float]:
    begun = time.process_time()
    return trial.run(plan, seed, folder, setting), time.process_time() - begun


class _Here:
    """The pool of one process: this one."""

    def submit(self, call: Callable[..., Any], *given: Any) -> Future[Any]:
        """Do it now."""
        done: Future[Any] = Future()
        done.set_result(call(*given))
        return done


def _lines(folder: Path, say: Callable[[str], None]) -> Lines:
    """What is done; it is said what of it cannot be read."""
    path = folder / "runs.jsonl"
    lines = Lines(path)
    if lines.unread:
        say(f"`{path}`: lines that are no runs, damaged perhaps: {lines.unread}; what they held counts as not done")
    return lines


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Let no second process run into the folder. Exits while one does; the system lets go of what has ended."""
    with (folder / "lock").open("a+", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            raise SystemExit(
                f"--out: process {held.read()} runs into `{folder}`; wait for it, or give another folder; "
                "`--done` shows what is there"
            ) from None
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        yield


def _pool(workers: int, folder: Path) -> Any:
    if workers == 1:
        return _Here()
    os.environ.update({name: os.environ.get(name, value) for name, value in ALONE.items()})
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))  # workers compile the same things
    return ProcessPoolExecutor(workers, get_context("spawn"))


def run_all(
    plan: Plan,
    seeds: Sequence[int],
    settings: Sequence[Setting],
    folder: Path,
    workers: int,
    say: Callable[[str], None],
) -> Lines:
    """All runs that are not done yet, setting by setting, so that what is there of a stopped run is of all seeds."""
    lines = _lines(folder, say)
    todo = [(setting, seed) for setting in settings for seed in seeds if key(plan, seed, setting) not in lines.found]
    unmade = [seed for seed in seeds if any(seed == of for _, of in todo)]
    ready: set[int] = set()
    total, pool = len(todo), _pool(workers, folder)
    running: dict[Future[Any], tuple[Setting | None, int]] = {}

    def start() -> bool:
        """Start what can be, models before the runs that use them; whether there was anything."""
        at = next((at for at, (_, seed) in enumerate(todo) if seed in ready), None)
        if unmade:
            seed = unmade.pop(0)
            running[pool.submit(kept.make, plan, seed, folder)] = (None, seed)
        elif at is not None:
            setting, seed = todo.pop(at)
            running[pool.submit(_run, plan, seed, folder, setting)] = (setting, seed)
        else:
            return False
        return True

    try:
        while todo or running:
            while len(running) < workers and start():
                pass
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                setting, seed = running.pop(done)
                if setting is None:
                    done.result()
                    ready.add(seed)
                    say(f"seed {seed}: models made")
                    continue
                found, seconds = done.result()
                lines.add(plan, seed, setting, found, seconds)
                at = total - len(todo) - sum(one is not None for one, _ in running.values())
                say(f"{at} of {total}: {setting.name}, seed {seed}: {_short(found)} ({seconds:.0f} processor seconds)")
    finally:
        if isinstance(pool, ProcessPoolExecutor):
            pool.shutdown(cancel_futures=True)
    return lines


def _short(found: dict[str, Any]) -> str:
    return found.get("failed") or "F1 {F1:.3f}, answers {answers:.3f}".format(**found["rates"])


def _made(plan: Plan, seeds: Sequence[int], folder: Path) -> dict[int, dict[str, Any]]:
    """What is known of the seeds' models. Exits where that is nothing that can be used."""
    try:
        return {seed: kept.told(plan, seed, folder) for seed in seeds}
    except ValueError as error:
        raise SystemExit(f"--out: {error}") from error


def report_of(plan: Plan, seeds: Sequence[int], settings: Sequence[Setting], folder: Path, lines: Lines) -> Report:
    """The report of all runs that are done."""
    runs: dict[str, dict[int, Any]] = {}
    seconds = 0.0
    for setting in settings:
        for seed in seeds:
            one = lines.found.get(key(plan, seed, setting))
            if one is not None:
                runs.setdefault(setting.name, {})[seed] = one["found"]
                seconds += one["seconds"]
    made = _made(plan, seeds, folder)
    cost = {
        "processor_seconds": {"runs": seconds, "models": sum(one["seconds"] for one in made.values())},
        "processors": os.cpu_count(),
        "jax": jax.__version__,
    }
    return Report(asdict(plan), tuple(seeds), runs, {seed: one["parts"] for seed, one in made.items()}, cost)


def _picture(report: Report) -> tuple[bytes, str]:
    """The picture, or none and why."""
    if importlib.util.find_spec("matplotlib") is None:
        return b"", "`pip install 'rbrlang[plot]'`"
    try:
        from pictures import picture

        return picture(report), ""
    except Exception as error:  # whatever drawing comes to, the page is not lost by it
        return b"", f"it could not be drawn ({type(error).__name__}: {error})"


def draw(report: Report, folder: Path, say: Callable[[str], None]) -> None:
    """Replace page and picture together; a page without a picture says why, and takes the old picture away."""
    (drawn, why), shown = _picture(report), folder / "paper.png"
    if why:
        say(f"no picture: {why}")
        write(folder / "paper.md", page(report, why))
        shown.unlink(missing_ok=True)
        return
    part, text = folder / "paper.png.part", page(report)
    part.write_bytes(drawn)
    write(folder / "paper.md", text)
    part.replace(shown)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The paper's experiments in a world that a processor trains in.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="every study")
    what.add_argument("--study", nargs="+", choices=[study.name for study in STUDIES], help="some of them")
    what.add_argument(
        "--from", dest="kept", type=Path, metavar="FILE", help="draw the page of this paper.json; no runs"
    )
    parser.add_argument("--done", action="store_true", help="start no run; write the page of those that are done")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(SHOWN), help="each is a world and models of its own"
    )
    parser.add_argument("--out", type=Path, default=Path("paper"), help="a folder for what is written")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--short", action="store_true", help="a try of seconds, whose numbers mean nothing")
    parser.add_argument(
        "--tune", action="store_true", help="run on the seeds that settings are chosen on, and write no page"
    )
    options = parser.parse_args(argv)
    if options.workers < 1:
        parser.error("--workers has to be 1 or more")
    if min(options.seeds) < 0:
        parser.error("--seeds have to be 0 or more")
    twice = [seed for seed in options.seeds if options.seeds.count(seed) > 1]
    if twice:
        parser.error(f"--seeds has {twice[0]} more than once; two runs of one seed are the same run, so name it once")
    if options.tune:
        options.seeds = sorted(TUNED)
    else:
        try:
            shown_seeds(options.seeds)
        except ValueError as error:
            parser.error(f"--seeds: {error}")
    options.report = None
    if options.kept is not None:
        try:
            options.report = Report.read(options.kept)
        except ValueError as error:
            parser.error(f"--from: {error}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out: cannot make the folder `{options.out}`: {error.strerror}")
    return options


def main(argv: Sequence[str] | None = None) -> Report:
    """Run what is not done yet, write report, page and picture."""
    options, begun = _options(argv), time.time()

    def say(text: str) -> None:
        print(f"[{time.time() - begun:5.0f} s] {text}", flush=True)

    if options.report is not None:
        draw(options.report, options.out, say)
        return options.report
    studies: list[Study] = [study for study in STUDIES if options.all or study.name in options.study]
    plan, out = SHORT if options.short else Plan(), options.out.resolve()
    settings = settings_of([study.short for study in studies] if options.short else studies)
    if options.done:
        return _tell(options, report_of(plan, options.seeds, settings, out, _lines(out, say)), say)
    with _alone(out):
        _made(plan, [seed for seed in options.seeds if (out / f"seed-{seed}").exists()], out)
        lines = run_all(plan, options.seeds, settings, out, options.workers, say)
        return _tell(options, report_of(plan, options.seeds, settings, out, lines), say)


def _tell(options: argparse.Namespace, report: Report, say: Callable[[str], None]) -> Report:
    if options.tune:
        return report
    out = options.out.resolve()
    report.write(out / "paper.json")
    draw(report, out, say)
    say(f"{sum(report.cost['processor_seconds'].values()):.0f} processor seconds; written to {out}")
    return report


if __name__ == "__main__":
    main()

"""Is this JSON a report of the program's?

A file that somebody gives may be damaged, of something else, or of an older program. What is wrong with it is said by its
place, before anything is drawn from it.
"""

# pyright: basic
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studies import STUDIES, Setting, settings_of, shown_seeds

RATES = ("not unsafe", "not over-refusing", "F1", "answers", "F1 with answers", "ideal refusals", "no sense")
CURVES = ("grader's reward", "judge's reward", "ideal, by the judge", "F1, by the judge")
_SET = {setting.name: setting for setting in settings_of(STUDIES)}


def checked(found: Any) -> Mapping[str, Any]:
    """What was read, if it is a report. Raises ValueError with what is wrong and where."""
    whole = _of(found, dict, "the file")
    _of(whole.get("plan"), dict, "`plan`")
    seeds = [_of(seed, int, "`seeds`") for seed in _of(whole.get("seeds"), list, "`seeds`")]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError("`seeds` has none, or one twice")
    shown_seeds(seeds)
    for name, runs in _of(whole.get("runs"), dict, "`runs`").items():
        if name not in _SET:
            raise ValueError(f"`runs` has `{name}`, which is no setting of any study")
        for seed, run in _by_seed(runs, seeds, f"`runs`, `{name}`").items():
            _run(run, _SET[name], f"`runs`, `{name}`, seed {seed}")
    parts = _by_seed(whole.get("parts"), seeds, "`parts`")
    names = {name for of in parts.values() for name in _of(of, dict, "`parts`")}
    for seed in seeds:
        _numbers(parts.get(str(seed)), sorted(names), f"`parts`, seed {seed}")
    cost = _of(whole.get("cost"), dict, "`cost`")
    _numbers(cost.get("processor_seconds"), ("runs", "models"), "`cost`, `processor_seconds`")
    if not {"processors", "jax"} <= cost.keys():
        raise ValueError("`cost` has no `processors` or no `jax`")
    return whole


def _of(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        told = {dict: "an object", list: "a list", int: "a whole number"}[kind]
        raise ValueError(f"{where} is not {told}")
    return value


def _by_seed(of: Any, seeds: Sequence[int], where: str) -> dict[str, Any]:
    strange = sorted(_of(of, dict, where).keys() - set(map(str, seeds)))
    if strange:
        raise ValueError(f"{where} has seed `{strange[0]}`, which `seeds` does not have")
    return of


def _numbers(of: Any, names: Sequence[str], where: str) -> None:
    of = _of(of, dict, where)
    for name in names:
        value = of.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{where}: `{name}` is not a number")


def _run(run: Any, setting: Setting, where: str) -> None:
    if isinstance(_of(run, dict, where).get("failed"), str):
        return
    _numbers(run.get("rates"), RATES, f"{where}, `rates`")
    _numbers(run.get("ranking"), ("error", "spread"), f"{where}, `ranking`")
    if setting.lazy is not None:
        _numbers(run, ("asked",), where)
    if setting.watched:
        _numbers(run["ranking"].get("probe"), ("trials", "raising", "outranking"), f"{where}, `probe`")
        watched = _of(run.get("watched"), dict, f"{where}, `watched`")
        curves = _of(watched.get("curves"), dict, f"{where}, `curves`")
        steps = len(_of(watched.get("steps"), list, f"{where}, `steps`"))
        for name in CURVES:
            curve = _of(curves.get(name), list, f"{where}, `{name}`")
            if not curve or len(curve) != steps:
                raise ValueError(f"{where}: `{name}` has not one value a step")
            _numbers(
                {f"look {at}": value for at, value in enumerate(curve)},
                [f"look {at}" for at in range(steps)],
                f"{where}, `{name}`",
            )
        for alarm in _of(watched.get("alarms"), list, f"{where}, `alarms`"):
            if [type(one) for one in _of(alarm, list, f"{where}, `alarms`")] != [int, str, str]:
                raise ValueError(f"{where}: an alarm is not step, kind, and what it is about")

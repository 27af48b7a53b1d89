"""How do the rubrics of three packages, `rubric`, `autorubric` and `verifiers`, read as a policy?

The first two are lists of criteria with a weight and a requirement (https://github.com/The-LLM-Data-Company/rubric,
https://github.com/delip/autorubric), plain, in sections, or under `rubric`. autorubric's criteria may have a `name`, and
`options` with a value each, ordered or not; its data sets carry submissions with a ground truth, which become rows. A judge of
verifiers (https://github.com/PrimeIntellect-ai/verifiers) has a list `criteria`, each with `name`, `text`, `weight` from 0 up and
`choices` from worst to best, by default no and yes; its reward is the weighted mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rbrlang.imports.checklist import (
    ONE_CLASS,
    TOO_MANY,
    Criterion,
    bounded,
    points_of,
    policy,
    several,
    text_of,
    yes_or_no,
)
from rbrlang.imports.imported import (
    Imported,
    ImportFormatError,
    Names,
    Note,
    listed,
    mapping,
    read_any,
    said,
)
from rbrlang.lang.variables import MAX_VALUES

_WEIGHT = 10.0  # autorubric's own where a criterion has none
_TRUTH = {"MET": True, "UNMET": False, "CANNOT_ASSESS": None}


def import_rubric(text: str, source: str) -> Imported:
    """A rubric of The LLM Data Company's package, YAML or JSON. Raises `ImportFormatError`."""
    notes, names = list[Note](), Names(ONE_CLASS)
    criteria = [*_criteria(read_any(text, source), source, names, notes, weight=None).values()]
    return Imported(
        policy(f"Imported from {source.rsplit('/', 1)[-1]}, a rubric of weighted criteria.", names("rubric"), criteria),
        (), (*notes, *bounded(criteria)),
    )  # fmt: skip


def import_autorubric(text: str, source: str) -> Imported:
    """A rubric or a data set of autorubric, with its submissions as rows. Raises `ImportFormatError`."""
    data = read_any(text, source)
    notes, names = list[Note](), Names(ONE_CLASS)
    criteria = _criteria(data, source, names, notes, weight=_WEIGHT)
    named = data if isinstance(data, Mapping) else {}
    response = names(named["name"] if isinstance(named.get("name"), str) else "rubric")
    for key in named:
        if key not in ("name", "prompt", "rubric", "sections", "items"):
            notes.append(Note("dropped", f"`{said(key)}`", str(key), "it has no place"))
    rows = tuple(_rows(named, source, response, [place for _, place in _items(data, source)], criteria, notes))
    head = f"Imported from {source.rsplit('/', 1)[-1]}, a rubric of autorubric."
    kept = [*criteria.values()]
    return Imported(policy(head, response, kept), rows, (*notes, *bounded(kept)))


def import_verifiers(text: str, source: str) -> Imported:
    """The criteria of a rubric judge of verifiers. Raises `ImportFormatError`."""
    data = read_any(text, source)
    items = listed(data.get("criteria", []) if isinstance(data, Mapping) else data, source, "`criteria`")
    names, criteria, notes = Names(ONE_CLASS), list[Criterion](), list[Note]()
    for at, item in enumerate(items):
        place = f"criteria[{at}]"
        fields = mapping(item, source, f"`{place}`")
        called = text_of(fields.get("name"), source, f"`{place}.name`")
        weight = points_of(fields.get("weight", 1.0), source, f"`{place}.weight`")
        if weight < 0:
            raise ImportFormatError(f"`{source}`: `{place}.weight` is negative; verifiers takes weights from 0 up")
        asked = text_of(fields.get("text"), source, f"`{place}.text`")
        given = listed(fields.get("choices", ["no", "yes"]), source, f"`{place}.choices`")
        choices = [text_of(choice, source, f"`{place}.choices`") for choice in given]
        for key in fields:
            if key not in ("name", "text", "weight", "choices"):
                notes.append(Note("dropped", f"`{said(key)}` of `{said(called)}`", f"{place}.{key}", "it has no place"))
        if choices == ["no", "yes"]:
            criteria.append(yes_or_no(names(called), asked, weight))
        elif len(choices) < 2 or len(set(choices)) < len(choices):
            raise ImportFormatError(f"`{source}`: `{place}.choices` are not two or more that differ")
        elif len(choices) > MAX_VALUES:
            notes.append(Note("dropped", f"criterion `{said(called)}`", f"{place}.choices", TOO_MANY))
        else:
            worth = [(choice, number / (len(choices) - 1)) for number, choice in enumerate(choices)]
            criteria.append(several(names, names(called), asked, weight, worth, ordered=True))
    if not any(c.points for c in criteria):
        raise ImportFormatError(f"`{source}` has no criterion with a weight above 0")
    notes.append(Note(
        "approximated", "what is judged", "view", "verifiers shows its judge the whole trace by default: add `judge trajectory` for that"
    ))  # fmt: skip
    head = f"Imported from {source.rsplit('/', 1)[-1]}, the criteria of a judge of verifiers."
    return Imported(policy(head, names("rubric"), criteria), (), tuple(notes))


def _items(data: Any, source: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every criterion of a plain or sectioned list, with its place."""
    where = ""
    for key in ("rubric", "sections"):
        if isinstance(data, Mapping) and key in data:
            data, where = data[key], f"{where}.{key}" if where else key
    items = listed(data, source, f"`{where}`" if where else "the file")
    for at, item in enumerate(items):
        place = f"{where}[{at}]"
        fields = mapping(item, source, f"`{place}`")
        if "criteria" not in fields:
            yield fields, place
            continue
        for inner, criterion in enumerate(listed(fields["criteria"], source, f"`{place}.criteria`")):
            below = f"{place}.criteria[{inner}]"
            yield mapping(criterion, source, f"`{below}`"), below


def _criteria(data: Any, source: str, names: Names, notes: list[Note], weight: float | None) -> dict[str, Criterion]:
    """The criteria that are kept, by their places."""
    criteria: dict[str, Criterion] = {}
    for item, place in _items(data, source):
        requirement = text_of(item.get("requirement"), source, f"`{place}.requirement`")
        own = item.get("name")
        called = own if isinstance(own, str) and own.strip() else requirement
        given = item.get("weight", weight)
        if given is None:
            raise ImportFormatError(f"`{source}`: `{place}` has no `weight`")
        points = points_of(given, source, f"`{place}.weight`")
        for key in item:
            if key not in ("name", "weight", "requirement", "options", "scale_type", "aggregation"):
                notes.append(Note("dropped", f"`{said(key)}` of `{said(called)}`", f"{place}.{key}", "it has no place"))
        if item.get("aggregation") is not None:
            notes.append(Note(
                "dropped", f"`aggregation` of `{said(called)}`", f"{place}.aggregation", "how several judges are joined is for who grades"
            ))  # fmt: skip
        if item.get("options") is None:
            criteria[place] = yes_or_no(names(called), requirement, points)
            continue
        options, unfit = _options(item["options"], source, f"{place}.options")
        if len(options) > MAX_VALUES:
            notes.append(Note("dropped", f"criterion `{said(called)}`", place, TOO_MANY))
            continue
        kind = item.get("scale_type", "ordinal")
        if kind not in ("ordinal", "nominal"):
            raise ImportFormatError(f"`{source}`: `{place}.scale_type` is {kind!r:.40}, not ordinal or nominal")
        made = several(names, names(called), requirement, points, options, ordered=kind == "ordinal")
        criteria[place] = made._replace(values={**dict.fromkeys(unfit), **made.values})
        if unfit:
            notes.append(Note(
                "approximated", f"options of `{said(called)}` that assess nothing", f"{place}.options", "a grader that cannot tell abstains"
            ))  # fmt: skip
    if not criteria:
        raise ImportFormatError(f"`{source}` has no criterion that can be asked")
    return criteria


def _options(value: Any, source: str, place: str) -> tuple[list[tuple[str, float]], list[str]]:
    """The options that are an assessment, each with what it is worth, and the labels of those that are none."""
    found, unfit = list[tuple[str, float]](), list[str]()
    for at, item in enumerate(listed(value, source, f"`{place}`")):
        fields = mapping(item, source, f"`{place}[{at}]`")
        label = text_of(fields.get("label"), source, f"`{place}[{at}].label`")
        worth = points_of(fields.get("value"), source, f"`{place}[{at}].value`")
        if fields.get("na") is True:
            unfit.append(label.lower())
            continue
        if not 0.0 <= worth <= 1.0:
            raise ImportFormatError(f"`{source}`: `{place}[{at}].value` is {worth:g}, outside 0 to 1")
        found.append((label, worth))
    if len(found) < 2:
        raise ImportFormatError(f"`{source}`: `{place}` has fewer than two options that are an assessment")
    return found, unfit


def _rows(
    data: Mapping[str, Any], source: str, response: str, places: Sequence[str], kept: Mapping[str, Criterion], notes: list[Note]
) -> Iterator[dict[str, Any]]:  # fmt: skip
    unsure = 0
    for at, item in enumerate(listed(data.get("items", []), source, "`items`")):
        place = f"items[{at}]"
        fields = mapping(item, source, f"`{place}`")
        if "rubric" in fields:
            notes.append(
                Note("dropped", "an item with a rubric of its own", f"{place}.rubric", "the policy has one rubric")
            )
            continue
        row: dict[str, Any] = {
            **{key: value for key, value in fields.items() if key not in ("submission", "ground_truth")},
            "id": f"{response}-{at}",
            "prompt": fields.get("prompt") or data.get("prompt"),
            "completion": text_of(fields.get("submission"), source, f"`{place}.submission`"),
            "response_type": response,
        }
        truth = listed(fields.get("ground_truth") or [], source, f"`{place}.ground_truth`")
        if truth and len(truth) != len(places):
            raise ImportFormatError(f"`{source}`: `{place}` has {len(truth)} verdicts for {len(places)} criteria")
        labels: dict[str, bool | int | str | None] = {}
        for where, verdict in zip(places, truth, strict=False):
            if where not in kept:
                continue
            criterion = kept[where]
            if criterion.values:
                labels[criterion.name] = _chosen(criterion, verdict, source, place)
            elif not isinstance(verdict, str) or verdict not in _TRUTH:
                raise ImportFormatError(
                    f"`{source}`: `{place}` has the verdict {verdict!r:.40}, not MET, UNMET or CANNOT_ASSESS"
                )
            else:
                labels[criterion.name] = _TRUTH[verdict]
        unsure += None in labels.values()
        yield {**row, **({"labels": labels} if labels else {})}
    if unsure:
        notes.append(Note(
            "approximated", f"CANNOT_ASSESS in {unsure} item{'s' if unsure > 1 else ''}", "items",
            "it is a missing answer: such a row has bounds and no reward, where autorubric leaves the criterion out of the sum",
        ))  # fmt: skip


def _chosen(criterion: Criterion, verdict: Any, source: str, place: str) -> int | str | None:
    """The level or option that a label of the source says; None where it says that none applies."""
    label = verdict.strip().lower() if isinstance(verdict, str) else ""
    if label not in criterion.values:
        raise ImportFormatError(f"`{source}`: `{place}` has {verdict!r:.40}, which is no option of `{criterion.name}`")
    value = criterion.values[label]
    return int(value) if value is not None and value.isdecimal() else value

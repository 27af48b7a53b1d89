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

from rbrlang.imports.checklist import ONE_CLASS, TOO_MANY, Criterion, bounded, policy, several, yes_or_no
from rbrlang.imports.imported import Imported, Reading, read_any, said
from rbrlang.lang.variables import MAX_VALUES

_WEIGHT = 10.0  # autorubric's own where a criterion has none
_TRUTH = {"MET": True, "UNMET": False, "CANNOT_ASSESS": None}


def import_rubric(text: str, source: str) -> Imported:
    """A rubric of The LLM Data Company's package, YAML or JSON. Raises `ImportFormatError`."""
    read = Reading(source, ONE_CLASS)
    criteria = [*_criteria(read_any(text, source), read, weight=None).values()]
    return Imported(
        policy(f"Imported from {read.title}, a rubric of weighted criteria.", read.names("rubric"), criteria),
        (), (*read.notes, *bounded(criteria)),
    )  # fmt: skip


def import_autorubric(text: str, source: str) -> Imported:
    """A rubric or a data set of autorubric, with its submissions as rows. Raises `ImportFormatError`."""
    data = read_any(text, source)
    read = Reading(source, ONE_CLASS)
    criteria = _criteria(data, read, weight=_WEIGHT)
    named = data if isinstance(data, Mapping) else {}
    response = read.names(named["name"] if isinstance(named.get("name"), str) else "rubric")
    read.others(named, ("name", "prompt", "rubric", "sections", "items"), "", "")
    rows = tuple(_rows(named, read, response, [place for _, place in _items(data, read)], criteria))
    head = f"Imported from {read.title}, a rubric of autorubric."
    kept = [*criteria.values()]
    return Imported(policy(head, response, kept), rows, (*read.notes, *bounded(kept)))


def import_verifiers(text: str, source: str) -> Imported:
    """The criteria of a rubric judge of verifiers. Raises `ImportFormatError`."""
    data = read_any(text, source)
    read, criteria = Reading(source, ONE_CLASS), list[Criterion]()
    names = read.names
    items = read.listed(data.get("criteria", []) if isinstance(data, Mapping) else data, "`criteria`")
    for at, item in enumerate(items):
        place = f"criteria[{at}]"
        fields = read.mapping(item, f"`{place}`")
        called = read.text(fields.get("name"), f"`{place}.name`")
        weight = read.points(fields.get("weight", 1.0), f"`{place}.weight`")
        if weight < 0:
            raise read.wrong(f"`{place}.weight` is negative; verifiers takes weights from 0 up")
        asked = read.text(fields.get("text"), f"`{place}.text`")
        given = read.listed(fields.get("choices", ["no", "yes"]), f"`{place}.choices`")
        choices = [read.text(choice, f"`{place}.choices`") for choice in given]
        read.others(fields, ("name", "text", "weight", "choices"), f" of `{said(called)}`", place)
        if choices == ["no", "yes"]:
            criteria.append(yes_or_no(names(called), asked, weight))
        elif len(choices) < 2 or len(set(choices)) < len(choices):
            raise read.wrong(f"`{place}.choices` are not two or more that differ")
        elif len(choices) > MAX_VALUES:
            read.drop(f"criterion `{said(called)}`", f"{place}.choices", TOO_MANY)
        else:
            worth = [(choice, number / (len(choices) - 1)) for number, choice in enumerate(choices)]
            criteria.append(several(names, names(called), asked, weight, worth, ordered=True))
    if not any(c.points for c in criteria):
        raise read.unfit("has no criterion with a weight above 0")
    read.near(
        "what is judged",
        "view",
        "verifiers shows its judge the whole trace by default: add `judge trajectory` for that",
    )
    head = f"Imported from {read.title}, the criteria of a judge of verifiers."
    return Imported(policy(head, names("rubric"), criteria), (), tuple(read.notes))


def _items(data: Any, read: Reading) -> Iterator[tuple[dict[str, Any], str]]:
    """Every criterion of a plain or sectioned list, with its place."""
    where = ""
    for key in ("rubric", "sections"):
        if isinstance(data, Mapping) and key in data:
            data, where = data[key], f"{where}.{key}" if where else key
    items = read.listed(data, f"`{where}`" if where else "the file")
    for at, item in enumerate(items):
        place = f"{where}[{at}]"
        fields = read.mapping(item, f"`{place}`")
        if "criteria" not in fields:
            yield fields, place
            continue
        for inner, criterion in enumerate(read.listed(fields["criteria"], f"`{place}.criteria`")):
            below = f"{place}.criteria[{inner}]"
            yield read.mapping(criterion, f"`{below}`"), below


def _criteria(data: Any, read: Reading, weight: float | None) -> dict[str, Criterion]:
    """The criteria that are kept, by their places."""
    names, criteria = read.names, dict[str, Criterion]()
    for item, place in _items(data, read):
        requirement = read.text(item.get("requirement"), f"`{place}.requirement`")
        own = item.get("name")
        called = own if isinstance(own, str) and own.strip() else requirement
        given = item.get("weight", weight)
        if given is None:
            raise read.wrong(f"`{place}` has no `weight`")
        points = read.points(given, f"`{place}.weight`")
        known = ("name", "weight", "requirement", "options", "scale_type", "aggregation")
        read.others(item, known, f" of `{said(called)}`", place)
        if item.get("aggregation") is not None:
            read.drop(
                f"`aggregation` of `{said(called)}`",
                f"{place}.aggregation",
                "how several judges are joined is for who grades",
            )
        if item.get("options") is None:
            criteria[place] = yes_or_no(names(called), requirement, points)
            continue
        options, unfit = _options(item["options"], read, f"{place}.options")
        if len(options) > MAX_VALUES:
            read.drop(f"criterion `{said(called)}`", place, TOO_MANY)
            continue
        kind = item.get("scale_type", "ordinal")
        if kind not in ("ordinal", "nominal"):
            raise read.wrong(f"`{place}.scale_type` is {kind!r:.40}, not ordinal or nominal")
        made = several(names, names(called), requirement, points, options, ordered=kind == "ordinal")
        criteria[place] = made._replace(values={**dict.fromkeys(unfit), **made.values})
        if unfit:
            read.near(
                f"options of `{said(called)}` that assess nothing",
                f"{place}.options",
                "a grader that cannot tell abstains",
            )
    if not criteria:
        raise read.unfit("has no criterion that can be asked")
    return criteria


def _options(value: Any, read: Reading, place: str) -> tuple[list[tuple[str, float]], list[str]]:
    """The options that are an assessment, each with what it is worth, and the labels of those that are none."""
    found, unfit = list[tuple[str, float]](), list[str]()
    for at, item in enumerate(read.listed(value, f"`{place}`")):
        fields = read.mapping(item, f"`{place}[{at}]`")
        label = read.text(fields.get("label"), f"`{place}[{at}].label`")
        worth = read.points(fields.get("value"), f"`{place}[{at}].value`")
        if fields.get("na") is True:
            unfit.append(label.lower())
            continue
        if not 0.0 <= worth <= 1.0:
            raise read.wrong(f"`{place}[{at}].value` is {worth:g}, outside 0 to 1")
        found.append((label, worth))
    if len(found) < 2:
        raise read.wrong(f"`{place}` has fewer than two options that are an assessment")
    return found, unfit


def _rows(
    data: Mapping[str, Any], read: Reading, response: str, places: Sequence[str], kept: Mapping[str, Criterion]
) -> Iterator[dict[str, Any]]:
    unsure = 0
    for at, item in enumerate(read.listed(data.get("items", []), "`items`")):
        place = f"items[{at}]"
        fields = read.mapping(item, f"`{place}`")
        if "rubric" in fields:
            read.drop("an item with a rubric of its own", f"{place}.rubric", "the policy has one rubric")
            continue
        row: dict[str, Any] = {
            **{key: value for key, value in fields.items() if key not in ("submission", "ground_truth")},
            "id": f"{response}-{at}",
            "prompt": fields.get("prompt") or data.get("prompt"),
            "completion": read.text(fields.get("submission"), f"`{place}.submission`"),
            "response_type": response,
        }
        truth = read.listed(fields.get("ground_truth") or [], f"`{place}.ground_truth`")
        if truth and len(truth) != len(places):
            raise read.wrong(f"`{place}` has {len(truth)} verdicts for {len(places)} criteria")
        labels: dict[str, bool | int | str | None] = {}
        for where, verdict in zip(places, truth, strict=False):
            if where not in kept:
                continue
            criterion = kept[where]
            if criterion.values:
                labels[criterion.name] = _chosen(criterion, verdict, read, place)
            elif not isinstance(verdict, str) or verdict not in _TRUTH:
                raise read.wrong(f"`{place}` has the verdict {verdict!r:.40}, not MET, UNMET or CANNOT_ASSESS")
            else:
                labels[criterion.name] = _TRUTH[verdict]
        unsure += None in labels.values()
        yield {**row, **({"labels": labels} if labels else {})}
    if unsure:
        read.near(
            f"CANNOT_ASSESS in {unsure} item{'s' if unsure > 1 else ''}",
            "items",
            "it is a missing answer: such a row has bounds and no reward, where autorubric leaves the criterion out of the sum",
        )


def _chosen(criterion: Criterion, verdict: Any, read: Reading, place: str) -> int | str | None:
    """The level or option that a label of the source says; None where it says that none applies."""
    label = verdict.strip().lower() if isinstance(verdict, str) else ""
    if label not in criterion.values:
        raise read.wrong(f"`{place}` has {verdict!r:.40}, which is no option of `{criterion.name}`")
    value = criterion.values[label]
    return int(value) if value is not None and value.isdecimal() else value

"""`rbrc grader new|check FILE`: write a grader file, and see whether what it names can be a grader."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from rbrlang.cli import guide
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.failures import grouped
from rbrlang.cli.terminal import say, wrapped

if TYPE_CHECKING:
    from rbrlang.grading.checkup import Checkup
    from rbrlang.grading.questions.options import GraderOptions
    from rbrlang.grading.questions.specs import GraderSpec

TEMPLATE = """\
# A grader, as `--grader FILE` takes it. Options of a command override what stands here. Files are named from this folder.
kind = "openai"                  # openai | local | systemone | embedded | distilled | python | table | jury | cascade
model = {model}
base_url = {base_url}
# key_env = "OPENAI_API_KEY"     # the variable that holds the key; the key itself has no place here
# calibration = "cal.json"       # from `rbrc agree --calibrate`

[request]                        # "auto" is found out once a run, and said in its summary
max_tokens_field = "auto"        # "max_tokens" | "max_completion_tokens"
max_tokens = "auto"              # answer tokens; more than 1 where a server demands them
top_logprobs = "auto"            # how many tokens with log-probabilities
temperature = "auto"             # a number, or "none" to send none
template = "auto"                # arguments of the chat template, such as {{ enable_thinking = false }}, or "none"
extra = {{}}                       # fields of your server's own
discover = true                  # ask the server whether it offers more log-probabilities than usual

[read]
how = "first-token"              # first-token | after-reasoning | chosen-token | samples
# thought_tokens = 2048          # how many tokens the model may think, for after-reasoning
# samples = 8                    # how many, for samples
# questions = 1                  # how many questions of yes and no a request may hold, each answered on a line of its own
min_mass = 0.5                   # an answer with less probability on yes and no is invalid

[limits]
concurrency = 8                  # requests at a time
rpm = 0                          # requests a minute; 0: without limit
tpm = 0                          # tokens a minute; 0: without limit
timeout = 60                     # seconds for one request
retries = 1.0                    # for each request, on average

[price]                          # of a million tokens
input = 0.0
output = 0.0
"""

JURY = """\
# A jury, as `--grader FILE` takes it: several graders together. Files are named from this folder.
kind = "jury"
members = {members}
combine = "mean"                 # of log-odds; instead, weights learned from labels:
# weights = "jury.json"          # from `rbrc agree POLICY LABELLED --jury {named} -o jury.json`
# calibration = "cal.json"       # of the jury; members have their own in their files
"""
CASCADE = """\
# A cascade, as `--grader FILE` takes it: a cheap grader first, the strong one where it matters. Files are named from this folder.
kind = "cascade"
first = {first}
then = {then}
thresholds = "cascade.json"      # from `rbrc agree POLICY ROWS --cascade {named} --risk 0.02 -o cascade.json`
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc grader`."""
    parser.add_argument(
        "action",
        choices=("new", "check"),
        help="new: write FILE, with comments; check: ask what it names a few questions",
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="?", default="grader.toml", help="the grader file (default: grader.toml)"
    )
    parser.add_argument("--model", metavar="NAME", help="new: the model (default: Qwen/Qwen3-8B)")
    parser.add_argument("--base-url", metavar="URL", help="new: the server (default: http://localhost:8000/v1)")
    parser.add_argument("--jury", nargs="+", metavar="G", help="new: a jury of these graders")
    parser.add_argument("--cascade", nargs=2, metavar=("FIRST", "THEN"), help="new: a cascade of these two")
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Write, or check; 1 when it cannot be a grader."""
    return _new(options) if options.action == "new" else _check(options)


def _new(options: argparse.Namespace) -> int:
    from rbrlang.cli.render import dump

    text = _text(options)
    if not options.file.endswith(".toml"):
        raise UsageError(f"`{options.file}` does not end in `.toml`, by which a grader file is known; name it so")
    try:
        with open(options.file, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"`{options.file}` is there already, and is left as it is; name another file") from None
    if options.format == "json":
        sys.stdout.write(dump({"file": options.file}))
    else:
        say(f"wrote {options.file}")
        say(guide.line("grader", "check", options.file))
    return 0


def _text(options: argparse.Namespace) -> str:
    def plain(text: object) -> str:
        return json.dumps(text, ensure_ascii=False)

    one = options.model or options.base_url
    if bool(one) + bool(options.jury) + bool(options.cascade) > 1:
        raise UsageError(
            "a file is of one grader (`--model`, `--base-url`), of a `--jury` or of a `--cascade`; give one of them"
        )
    if options.jury:
        if len(options.jury) < 2:
            raise UsageError("`--jury` names one grader, and a jury has two or more; name another")
        return JURY.format(members=plain(options.jury), named=" ".join(options.jury))
    if options.cascade:
        first, then = options.cascade
        return CASCADE.format(first=plain(first), then=plain(then), named=f"{first} {then}")
    return TEMPLATE.format(
        model=plain(options.model or "Qwen/Qwen3-8B"),
        base_url=plain(options.base_url or "http://localhost:8000/v1"),
    )


def _check(options: argparse.Namespace) -> int:
    if options.model or options.base_url or options.jury or options.cascade:
        raise UsageError(
            "`--model`, `--base-url`, `--jury` and `--cascade` are for `rbrc grader new`; what is checked stands in the file"
        )

    try:
        checked = _checked(options.file, options.file)
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from error
    if options.format == "json":
        from rbrlang.cli.render import dump

        plain = [_plain(file, name, found) for file, name, found, _ in checked]
        sys.stdout.write(dump(plain[0] if len(plain) == 1 else {"file": options.file, "members": plain}))
    else:
        for file, _, found, how in checked:
            _show(file, found, how)
    return int(any(found.faults for _, _, found, _ in checked))


def _checked(name: str, file: str) -> list[tuple[str, str, Checkup, GraderOptions]]:
    """A grader of that name, or of a jury or a cascade each of its members: the file that says so, its name, what was found."""
    from rbrlang.grading.questions.graderfile import applied
    from rbrlang.grading.questions.members import leaves, member_named, members_of
    from rbrlang.grading.questions.options import GraderOptions
    from rbrlang.grading.questions.specs import SeveralSpec, parse_grader

    own, given = applied(name, {})
    how = GraderOptions.read(given)
    spec = parse_grader(own, os.environ, how.base_url)
    leaves(spec)  # a file that is a member of itself would never end
    if isinstance(spec, SeveralSpec):
        several, checked = members_of(spec), []
        for at, one in enumerate(several.members):
            with member_named(spec, several, at):
                checked += _checked(one, one)
        return checked
    return [(file, own, _checkup(spec, how, file), how)]


def _checkup(spec: GraderSpec, how: GraderOptions, file: str) -> Checkup:
    from rbrlang.grading import checkup
    from rbrlang.grading.local import reading_grader
    from rbrlang.grading.questions.specs import EmbeddedSpec, LocalSpec, OpenAISpec, PythonSpec, SystemOneSpec, api_key

    match spec:
        case OpenAISpec() | SystemOneSpec() | LocalSpec():
            return checkup.check(spec, api_key(os.environ, how.key_env), how)
        case EmbeddedSpec() | PythonSpec():
            sys.path.insert(0, os.getcwd())
            grader = reading_grader(spec, checkup.policy().program.questions, how.heads)
            asked = checkup.asked(grader.answers(checkup.items(), checkup.wanted()))
            return checkup.Checkup(grader.identity, asked, checkup.faults_of(asked), ())
        case _:
            raise UsageError(
                f"`{file}` names a table of answers, which knows no text but its own: there is nothing to ask"
            )


# --- the report -------------------------------------------------------------------------------


def _plain(file: str, name: str, found: Checkup) -> dict[str, Any]:
    from rbrlang.grading.results import to_json

    summary = found.summary
    return {
        "file": file,
        "grader": name,
        "identity": found.identity,
        "usable": not found.faults,
        "faults": list(found.faults),
        "advice": list(found.advice),
        "server": None if summary is None else {
            "url": found.url, "request": summary.request, "reading": summary.reading,
            "log_probabilities": None if found.listed is None else {"least": found.listed[0], "most": found.listed[1]},
            "first_tokens": list(found.first), "requests": summary.sent, "retried": summary.retried,
            "seconds": summary.seconds, "prompt_tokens": summary.usage.prompt, "cached_tokens": summary.usage.cached,
            "answer_tokens": summary.usage.completion, "cost": summary.cost, "stopped": summary.stopped,
            "thoughts": {"least": found.thoughts[0], "most": found.thoughts[-1]} if found.thoughts else None,
        },
        "questions": [
            {"statement": one.statement, "about": one.about, "truth": one.truth, "answer": to_json(one.answer)}
            for one in found.questions
        ],
    }  # fmt: skip


def _show(file: str, found: Checkup, how: GraderOptions) -> None:
    from collections import Counter

    from rbrlang.cli.tables import show
    from rbrlang.grading.results import Abstained, Invalid, Value

    wrapped(f"grader: {found.identity}", after="  ")
    summary = found.summary
    if summary is not None:
        used = summary.usage
        listed = "none" if found.listed is None else " to ".join(map(str, dict.fromkeys(found.listed)))
        reuse = f"{used.cached} of {used.prompt} prompt tokens" if used.cached else "none reported"
        say(f"request: {summary.request or 'as usual'}")
        say(f"P(yes) from {summary.reading}; log-probabilities: {listed}")
        say(f"reuse of beginnings: {reuse}")
        if found.thoughts:
            cost = f", cost {summary.cost:.4f}" if summary.cost else ""
            say(
                f"thoughts: {found.thoughts[0]} to {found.thoughts[-1]} characters; {used.completion} answer tokens for "
                f"{summary.sent} requests{cost}"
            )
        each = (
            f"{summary.values / summary.seconds:.3g} answers a second"
            if summary.values and summary.seconds
            else "no answers"
        )
        say(f"speed: {summary.sent} requests in {summary.seconds:.1f} s, {each} at concurrency {how.concurrency}")
    rows: list[tuple[str, ...]] = []
    for one in found.questions:
        answer, truth = one.answer, "yes" if one.truth else "no"
        match answer:
            case Value():
                rows.append(
                    (
                        one.statement,
                        one.about,
                        truth,
                        f"{answer.p:.3f}",
                        f"{answer.low:.3f} to {answer.high:.3f}",
                        f"{answer.mass:.2f}",
                    )
                )
            case Invalid():
                rows.append((one.statement, one.about, truth, "-", answer.kind, "-"))
            case _:
                rows.append((one.statement, one.about, truth, "-", "abstained", "-"))
    show("", ("question", "about", "answer", "P(yes)", "bounds", "mass"), rows)
    reasons = Counter(one.answer.reason for one in found.questions if isinstance(one.answer, Invalid | Abstained))
    for reason, count in grouped(reasons):
        wrapped(f"{count} × {reason}", after="  ")
    for one in found.advice:
        wrapped(f"to change: {one}", after="  ")
    if found.faults:
        wrapped(f"{file} cannot be a grader: {'; '.join(found.faults)}", after="  ")
    else:
        right = sum((value.p > 0.5) == one.truth for one, value in found.values)
        wrapped(
            f"{file} can be a grader: {right} of {len(found.questions)} answers are right. How good it is, only labels say: "
            f"rbrc agree POLICY LABELLED --grader {file}", after="  ",
        )  # fmt: skip

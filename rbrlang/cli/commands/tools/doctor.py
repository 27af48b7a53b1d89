"""`rbrc doctor [FILE]`: is all here that rbrlang, this policy and this grader need?"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

from rbrlang import __version__
from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.render import dump
from rbrlang.cli.terminal import say, wrapped
from rbrlang.errors import UserError

if TYPE_CHECKING:
    from rbrlang.grading.questions.options import GraderOptions
    from rbrlang.grading.questions.specs import EmbeddedSpec, GraderSpec, PythonSpec, RemoteSpec, Secret, SeveralSpec
    from rbrlang.policy import Policy

_FOR_WORK = ("dev", "test", "trainers")  # extras of those who change rbrlang
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?(?:>=([\w.]+))?.*?extra == '([\w-]+)'")
_PYTHON = re.compile(r"python_full_version >= '([\d.]+)'")
_VARIABLES = re.compile(r"(RBRC?|JAX|XLA)_\w+|OPENAI_(API_KEY|BASE_URL)|XDG_CACHE_HOME|RAY_ADDRESS")
_SECRET = re.compile(r"KEY|TOKEN|PASS|SECRET")
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra: `lacking` are its packages that are missing or too old, each with what it should be."""

    name: str
    state: Literal["installed", "too old", "missing", "not for this Python"]
    lacking: tuple[str, ...]

    @property
    def install(self) -> str | None:
        """What brings it, None where nothing has to."""
        return f"pip install 'rbrlang[{self.name}]'" if self.state in ("too old", "missing") else None


@dataclass(frozen=True, slots=True)
class Need:
    """Something that the policy or the grader needs, and whether it is there."""

    what: str
    met: bool
    said: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rbrc doctor`."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="a .rbr file: also whether what it needs is here")
    parser.add_argument(
        "--ask", action="store_true", help="with --grader: ask its server nine small questions, which it may bill"
    )
    shared.grader_arguments(parser, default=None)
    shared.policy_arguments(parser)
    shared.format_argument(parser)
    shared.run_with(parser, run)


def run(options: argparse.Namespace) -> int:
    """Look and tell; 1 when something that the policy or the grader needs is missing."""
    if options.ask and not options.grader:
        raise UsageError("`--ask` asks a grader: name one with `--grader`")
    policy = None if options.file is None else shared.policy(options, options.file)
    if policy is None and options.file is not None:
        return 1
    found = {
        "rbrlang": __version__, "python": platform.python_version(), "platform": platform.platform(),
        "jax": _jax(), "variables": _variables(),
    }  # fmt: skip
    extras, needs = _extras(), [*_of_policy(options, policy), *_of_grader(options, policy)]
    if options.format == "json":
        every = [{**asdict(extra), "install": extra.install} for extra in extras]
        sys.stdout.write(dump({**found, "extras": every, "needs": [asdict(need) for need in needs]}))
    else:
        _show(found, extras, needs)
    return int(not all(need.met for need in needs))


# --- what is here -----------------------------------------------------------------------------


def _extras() -> list[Extra]:
    try:
        required = importlib.metadata.requires("rbrlang") or []
    except importlib.metadata.PackageNotFoundError:
        return []  # run from a checkout that was never installed
    packages: dict[str, list[tuple[str, str, str]]] = {}
    for line in required:
        if (match := _REQUIREMENT.match(line)) and match[3] not in _FOR_WORK:
            python = _PYTHON.search(line)
            packages.setdefault(match[3], []).append((match[1], match[2] or "0", python[1] if python else "0"))
    return [_extra(name, packages[name]) for name in sorted(packages)]


def _extra(name: str, packages: list[tuple[str, str, str]]) -> Extra:
    if any(_version(python) > sys.version_info[:3] for _, _, python in packages):
        return Extra(name, "not for this Python", tuple(f"needs Python {python}" for _, _, python in packages))
    here = {package: _installed(package) for package, _, _ in packages}
    old = [
        f"{package} {here[package]}, needs {least}"
        for package, least, _ in packages
        if here[package] is not None and _version(here[package] or "") < _version(least)
    ]
    missing = [package for package, _, _ in packages if here[package] is None]
    return Extra(name, "missing" if missing else "too old" if old else "installed", (*missing, *old))


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _version(text: str) -> tuple[int, ...]:
    """The numbers of a release, as far as they go.

    >>> _version("1.2.10rc1") < _version("1.10")
    True
    """
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _jax() -> dict[str, Any]:
    import jax

    from rbrlang.reward.compiled import keep_programs

    cache = keep_programs() or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    try:
        devices = [f"{device.platform}: {device.device_kind}" for device in jax.devices()]
    except RuntimeError as error:  # a plugin that does not fit, or an accelerator in use
        devices = [f"none: {error}"]
    return {
        "version": jax.__version__,
        "devices": devices,
        "x64": bool(jax.config.read("jax_enable_x64")),
        "cache": None if cache is None else str(cache),
        "cache_writable": cache is not None and os.access(cache, os.W_OK),
    }


def _variables() -> dict[str, str]:
    """What of the environment is heeded; of a secret only that it is set, of an address not who logs in there."""
    return {
        name: "(set)" if _SECRET.search(name) else re.sub(r"//[^/@]*@", "//…@", value)
        for name, value in sorted(os.environ.items())
        if _VARIABLES.fullmatch(name)
    }


# --- what is needed ---------------------------------------------------------------------------


def _of_policy(options: argparse.Namespace, policy: Policy | None) -> Iterator[Need]:
    if policy is None:
        return
    from rbrlang.cli.guide import unread

    yield Need("policy", True, f"`{options.file}` has no errors")
    kinds = {atom.measure[0] for atom in policy.circuit.atoms if atom.measure is not None}
    if "json_schema" in kinds:
        here = _installed("jsonschema") is not None
        yield Need("schemas", here, "checked by jsonschema" if here else "pip install 'rbrlang[schema]'")
    if "python" in kinds:
        yield Need("functions", True, "it names functions of your own, which run with `--allow-python` alone")
    if unread(policy.program) and options.grader is None:
        yield Need("questions", True, "the grader that needs no server reads none; `rbrc check` says what would")


def _of_grader(options: argparse.Namespace, policy: Policy | None) -> Iterator[Need]:
    if options.grader is None:
        return
    from rbrlang.cli.graders import chosen, spec_of

    try:
        yield from _of_spec(options, policy, spec_of(options), chosen(options))
    except UserError as error:
        yield Need("grader", False, str(error))
    except ModuleNotFoundError as error:
        yield Need("grader", False, f"it needs {error.name}: pip install 'rbrlang[endpoint]'")


def _of_spec(
    options: argparse.Namespace, policy: Policy | None, spec: GraderSpec, how: GraderOptions
) -> Iterator[Need]:
    """What a grader needs. Raises `GraderError`, ModuleNotFoundError."""
    from rbrlang.grading.questions import specs

    match spec:
        case specs.RowsSpec() | specs.LabelsSpec():
            yield Need("grader", True, "its answers are in the rows")
        case specs.TableSpec(path):
            yield _file(path)
        case specs.EmbeddedSpec() | specs.PythonSpec():
            yield _read_here(spec, policy, how)
        case specs.OpenAISpec() | specs.SystemOneSpec():
            key = specs.api_key(os.environ, how.key_env)
            yield _reached(spec.base_url, spec.model, key)
            if options.ask:
                yield _answers(spec, key, how)
        case specs.LocalSpec(path):
            yield _file(path)
            here = _installed("xllamacpp")
            yield Need("llama.cpp", here is not None, f"xllamacpp {here}" if here else "pip install 'rbrlang[local]'")
            if options.ask and here and path.is_file():
                yield _answers(spec, specs.Secret(""), how)
        case specs.SeveralSpec():
            yield from _of_members(options, policy, spec)
        case _:
            assert_never(spec)


def _of_members(options: argparse.Namespace, policy: Policy | None, spec: SeveralSpec) -> Iterator[Need]:
    from rbrlang.grading.questions.graderfile import applied
    from rbrlang.grading.questions.members import leaves, members_of
    from rbrlang.grading.questions.options import GraderOptions
    from rbrlang.grading.questions.specs import parse_grader

    leaves(spec)  # a file that is a member of itself would never end
    several = members_of(spec)
    for at, member in enumerate(several.members):
        name, given = applied(member, {})
        how = GraderOptions.read(given)
        for need in _of_spec(options, policy, parse_grader(name, os.environ, how.base_url), how):
            yield replace(need, what=f"{several.key(at)}: {need.what}")


def _file(path: Path) -> Need:
    return Need("file", path.is_file(), f"`{path}` {'is there' if path.is_file() else 'is not there'}")


def _read_here(spec: EmbeddedSpec | PythonSpec, policy: Policy | None, how: GraderOptions) -> Need:
    """Whether a grader in this process can read what the policy asks."""
    if policy is None:
        return Need("grader", True, "it runs in this process; with FILE it is seen whether it reads what that asks")
    from rbrlang.grading.embedded.names import WAYS_OUT
    from rbrlang.grading.local import reading_grader
    from rbrlang.grading.sight import OTHERS, asked_of_types, beyond, named, sight

    sys.path.insert(0, os.getcwd())
    asked = asked_of_types(policy.circuit)
    if unknown := beyond(spec, policy.circuit, asked):
        return Need("grader", False, f"{unknown}; {OTHERS}")
    grader = reading_grader(spec, policy.program.questions, how.heads)
    found = sight(grader, asked)
    if found.blind:
        return Need("grader", False, f"it reads nothing of what is asked; {WAYS_OUT}")
    unread = f"; it cannot read {named(policy.circuit, found.unread)}" if found.unread else ""
    return Need("grader", True, grader.identity + unread)


def _reached(base_url: str, model: str, key: Secret) -> Need:
    """Whether the server answers a list of its models, which costs nothing."""
    from rbrlang.grading.endpoint.remote import Garbled, parsed
    from rbrlang.grading.endpoint.wire import Lost, clients, get, waited
    from rbrlang.jsontext import at, listed

    url = f"{base_url.rstrip('/')}/models"

    async def asked() -> Any:
        (http,) = clients(1)
        async with http:
            return await get(http, url, key, _SECONDS)

    reply = waited(asked)
    if isinstance(reply, Lost):
        return Need("server", False, f"{reply.reason}; see whether it runs at `{base_url}`")
    if reply.status in (401, 403):
        why = (
            "it refuses the key"
            if key.reveal()
            else "it wants a key: set OPENAI_API_KEY, or `key_env` in a grader file"
        )
        return Need("server", False, f"{why} (status {reply.status})")
    plain = parsed(reply.body)
    models = () if isinstance(plain, Garbled) else [str(at(one, "id")) for one in listed(at(plain, "data"))]
    if reply.status == 200 and models and model and model not in models:
        some = ", ".join(models[:5])
        return Need("server", True, f"it answers, and lists other models than `{model}`: {some}")
    return Need("server", True, f"it answers at `{base_url}`" + (f" with `{model}`" if models else ""))


def _answers(spec: RemoteSpec, key: Secret, how: GraderOptions) -> Need:
    from rbrlang.grading import checkup

    found = checkup.check(spec, key, how)
    right = sum((value.p > 0.5) == one.truth for one, value in found.values)
    said = "; ".join(found.faults) or f"{right} of {len(found.questions)} answers are right"
    return Need("answers", not found.faults, said)


# --- the report -------------------------------------------------------------------------------


def _show(found: dict[str, Any], extras: list[Extra], needs: list[Need]) -> None:
    jax = found["jax"]
    say(f"rbrlang {found['rbrlang']} · Python {found['python']} · {found['platform']}")
    say(f"JAX {jax['version']} · {', '.join(jax['devices'])} · 64 bits {'on' if jax['x64'] else 'off'}")
    kept = "not kept" if jax["cache"] is None else f"kept in {jax['cache']}"
    say(
        f"compiled programs: {kept}"
        + ("" if jax["cache"] is None or jax["cache_writable"] else ", which is not writable")
    )
    for name, value in found["variables"].items():
        say(f"{name}={value}")
    say("")
    if not extras:
        say("extras: not known, as rbrlang itself is not installed: pip install rbrlang")
    for extra in extras:
        lacking = f": {', '.join(extra.lacking)}" if extra.lacking else ""
        cure = f"; {extra.install}" if extra.install else ""
        wrapped(f"{extra.name:10} {extra.state}{lacking}{cure}", after=" " * 11)
    if needs:
        say("")
    for need in needs:
        wrapped(f"{'ok' if need.met else 'MISSING':8} {need.what}: {need.said}", after=" " * 9)

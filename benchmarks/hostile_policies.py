"""What does the most tangled policy from elsewhere cost whoever handles it?

    python benchmarks/hostile_policies.py                  # every case of tests/hostile.py through `rbrc check`
    python benchmarks/hostile_policies.py all              # and through all that takes a policy or an artefact
    python benchmarks/hostile_policies.py verify lsp …     # or through some of it

Each case has a process of its own. Where a policy is refused, its artefact is forged: the sources of another one
changed for its text, behind right hashes. Of the language server the costliest request counts, opening included; the
server answers one request. The goals are those of `rbrlang.budget`: at most 5 s of processor time and 500 MB,
whether the policy is accepted or refused; exit code 1 when one is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from hostile import CASES  # noqa: E402

from rbrlang.policy import Policy, check_text  # noqa: E402
from rbrlang.reward.kept.artefact import MANIFEST, Artefact, artefact_bytes  # noqa: E402
from rbrlang.reward.kept.container import pack, unpack  # noqa: E402
from rbrlang.reward.weights import default_weights  # noqa: E402

SECONDS, MEGABYTES = 5.0, 500
_STOP = 60  # seconds of processor time after which a case is given up

_COMMAND = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({_STOP}, {_STOP}))
from rbrlang.cli.main import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
sys.stderr.write(f"\\n@ {{code}} {{used.ru_utime + used.ru_stime}} {{used.ru_maxrss / 1024}}\\n")
"""

# An editor opens the policy and asks all that it may ask.
_EDITOR = """
import os, resource, sys
from pathlib import Path
from lsprotocol import types
from lsp_editor import Editor
file = Path(sys.argv[1])
def used():
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
text = file.read_text()
editor = Editor(file.parent)
server = editor.client._server
start, most, slowest = used(), 0.0, ""
lines = text.split("\\n")
middle = types.Position(len(lines) // 2, 0)
whole = types.Range(types.Position(0, 0), types.Position(len(lines), 0))
me = editor.id(file.name)
asked = [
    ("open", lambda: editor.open(file.name)),
    *((name, lambda name=name, kind=kind, place=place: editor.ask(name, kind(me, place)))
      for place in (types.Position(0, 6), middle)
      for name, kind in (("text_document_hover", types.HoverParams), ("text_document_completion", types.CompletionParams),
                         ("text_document_definition", types.DefinitionParams))),
    ("references", lambda: editor.ask("text_document_references", types.ReferenceParams(
        types.ReferenceContext(True), me, types.Position(0, 6)))),
    ("rename", lambda: editor.ask("text_document_rename", types.RenameParams(me, types.Position(0, 5), "renamed"))),
    ("symbols", lambda: editor.ask("text_document_document_symbol", types.DocumentSymbolParams(me))),
    ("tokens", lambda: editor.ask("text_document_semantic_tokens_full", types.SemanticTokensParams(me))),
    ("foldings", lambda: editor.ask("text_document_folding_range", types.FoldingRangeParams(me))),
    ("hints", lambda: editor.ask("text_document_inlay_hint", types.InlayHintParams(me, whole))),
    ("lenses", lambda: editor.ask("text_document_code_lens", types.CodeLensParams(me))),
    ("format", lambda: editor.ask("text_document_formatting", types.DocumentFormattingParams(me, types.FormattingOptions(2, True)))),
    ("actions", lambda: editor.ask("text_document_code_action", types.CodeActionParams(me, whole, types.CodeActionContext([])))),
]
for name, ask in asked:
    before = used()
    try:
        ask()
    except Exception as error:
        if "Server" in type(error).__name__ or isinstance(error, (TimeoutError, AssertionError)):
            raise
    if used() - before > most:
        most, slowest = used() - before, name.removeprefix("text_document_")
code = editor.leave()
sys.stderr.write(f"\\n@ {code} {most} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024} {slowest}\\n")
os._exit(0)
"""

# A server starts, answers one request and ends.
_SERVER = """
import json, resource, signal, subprocess, sys, urllib.error, urllib.request
command = [sys.executable, "-m", "rbrlang.cli", "serve", sys.argv[1], "--port", "0", "--format", "json",
           "--grader", "python:serve_grader.steady"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
said = server.stdout.readline()
if said:
    rows = [json.loads(line) for line in open(sys.argv[2])]
    body = json.dumps({"rows": [{k: row[k] for k in ("prompt", "completion", "response_type")} for row in rows]}).encode()
    request = urllib.request.Request(json.loads(said)["url"] + "/score", body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as error:
        sys.stderr.write(error.read().decode())
    server.send_signal(signal.SIGTERM)
code = server.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
sys.stderr.write(f"\\n@ {code} {used.ru_utime + used.ru_stime} {used.ru_maxrss / 1024}\\n")
"""

POLICY, ARTEFACT, ROWS, OUT = "policy.rbr", "policy.rbrc", "rows.jsonl", "out"
COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", POLICY), "json": ("check", "--format", "json", POLICY), "fix": ("check", "--fix", "--unsafe-fixes", "copy.rbr"),
    "fmt": ("fmt", "--check", POLICY), "graph": ("graph", POLICY), "test": ("test", POLICY),
    "coverage": ("test", "--coverage", "--suggest", POLICY), "mutate": ("test", "--mutate", POLICY),
    "compile": ("compile", POLICY, "-o", OUT), "diff": ("diff", POLICY, POLICY), "explain": ("explain", POLICY, "--given", "a", "--for", "r"),
    "row": ("explain", POLICY, "--row", f"{ROWS}:0"), "plan": ("plan", POLICY), "synth": ("synth", POLICY, "-o", OUT, "--per-class", "1"),
    "verify": ("verify", ARTEFACT), "inspect": ("inspect", ARTEFACT), "export": ("export", ARTEFACT, "-o", OUT),
    "score": ("score", ARTEFACT, ROWS, "-o", OUT), "eval": ("eval", ARTEFACT, ROWS, "--certify"),
    "report": ("report", ARTEFACT, ROWS, "-o", OUT, "--resamples", "10"),
}  # fmt: skip
PROGRAMS = {"lsp": (_EDITOR, POLICY), "serve": (_SERVER, ARTEFACT, ROWS)}
NAMES = (*COMMANDS, *PROGRAMS)


def main() -> int:
    """Print what every case costs, and the most for each command; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description="Handle hostile policies.")
    parser.add_argument("commands", nargs="*", default=["check"], choices=[*NAMES, "all"], metavar="COMMAND")
    parser.add_argument("--only", action="append", default=[], metavar="CASE")
    options = parser.parse_args()
    commands = NAMES if "all" in options.commands else options.commands
    missed = 0
    found: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for case, size in CASES:
        if options.only and case.__name__ not in options.only:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _write(folder, case, size)
            for command in commands:
                code, seconds, megabytes, at = _run(command, folder)
                bad = seconds > SECONDS or megabytes > MEGABYTES
                missed += bad
                found[command].append((seconds, megabytes, f"{case.__name__} {size:,}"))
                print(
                    f"{case.__name__:32}{size:>9,}  {command:9}{code:>7}{seconds:8.2f} s{megabytes:7.0f} MB  {at}"
                    + ("   missed" if bad else ""),
                    flush=True,
                )
    print(f"\n{'command':10}{'cases':>6}{'most time':>12}{'most memory':>13}   in")
    for command, costs in found.items():
        slowest, largest = max(costs), max(costs, key=lambda cost: cost[1])
        print(f"{command:10}{len(costs):>6}{slowest[0]:>10.2f} s{largest[1]:>10.0f} MB   {slowest[2]}; {largest[2]}")
    return int(missed > 0)


def _write(folder: Path, case: Callable[[int], str], size: int) -> None:
    """The policy of a case, its artefact, and four rows that it may judge."""
    text = case(size)
    (folder / POLICY).write_text(text, encoding="utf-8")
    (folder / "copy.rbr").write_text(text, encoding="utf-8")
    checked = check_text(text)
    names = [proposition.name for proposition in checked.program.propositions] or ["a"]
    response = next((response.name for response in checked.program.responses), "r")
    rows = [
        {"id": str(at), "prompt": "p", "completion": "word " * (10 + at), "response_type": response,
         "probs": {name: float((number >> at) % 2) for number, name in enumerate(names)}}
        for at in range(4)
    ]  # fmt: skip
    (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / ARTEFACT).write_bytes(_artefact(Policy(checked)) if checked.ok else _forged(text))


def _artefact(policy: Policy) -> bytes:
    circuit = policy.circuit
    return artefact_bytes(Artefact(circuit, default_weights(circuit), policy.sources, None, {}, policy.params))


def _forged(text: str) -> bytes:
    """The artefact of a small policy with another text in the place of its source."""
    small = _artefact(
        Policy(check_text('prop a "It is."\nresponse r ranks good > bad\nr.good := a\nr.bad := otherwise\n'))
    )
    members = {**unpack(ARTEFACT, small), "source/000.rbr": text.encode()}
    manifest = json.loads(members[MANIFEST])
    manifest["members"] = [
        [name, len(held), hashlib.sha256(held).hexdigest()] for name, held in members.items() if name != MANIFEST
    ]
    return pack({**members, MANIFEST: json.dumps(manifest, separators=(",", ":")).encode()})


def _run(command: str, folder: Path) -> tuple[str, float, float, str]:
    """Exit code, seconds of processor time, megabytes, and where the time went, as far as that is known."""
    program, *arguments = PROGRAMS.get(command, (_COMMAND, *COMMANDS.get(command, ())))
    done = subprocess.run(
        [sys.executable, "-c", program, *_absolute(arguments, folder)], capture_output=True, text=True, errors="replace",
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}, cwd=folder,
    )  # fmt: skip
    last = done.stderr.strip().rpartition("\n")[2]
    if not last.startswith("@"):
        return "killed", float(_STOP), 0.0, last[:100]
    _, code, seconds, megabytes, *at = last.split()
    return code, float(seconds), float(megabytes), " ".join(at)


def _absolute(arguments: Sequence[str], folder: Path) -> list[str]:
    return [str(folder / word) if word in (POLICY, ARTEFACT, ROWS, OUT, "copy.rbr") else word for word in arguments]


if __name__ == "__main__":
    sys.exit(main())

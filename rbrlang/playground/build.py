"""How does a policy become one page that runs Python without a network?

The page holds Pyodide, which is CPython compiled to WebAssembly, from the package of that name in the npm registry, and
the part of this package that checks and judges. Each file of Pyodide is held to the hash of the one version that this
was tested with. The same policy gives the same page, byte for byte.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from string import Template

from rbrlang import __version__, report
from rbrlang.lang.load import LoadedModule, standard_library
from rbrlang.lang.reading.grammar import grammar_path

PYODIDE = "314.0.7"
HOW_TO_GET = f"`npm install pyodide@{PYODIDE}`"
_HASHES = {
    "pyodide.mjs": "6f1d60f7bf529beb300f0f47983c921d3982363640ba20af0e38efdddbc66109",
    "pyodide.asm.mjs": "f7cdc8ece80678ceb712f8e65ebe6d3a83203a180c399865f49612a051693635",
    "pyodide.asm.wasm": "cc36e3cab04fdfc9a63ff13eb52eae2b911bf46c025cc7b281f394bd3de1d5e6",
    "python_stdlib.zip": "fa1957e5777068fc4f7437f96d860ae2fbe9c19732ba06c84e004ec16dd7dd7a",
}
_HERE = Path(__file__).parent
_PACKAGE = _HERE.parent
_ROOMS = ("*.py", "lang/**/*.py", "lang/**/*.json", "logic/**/*.py", "reward/*.py", "playground/*.py")


class PyodideError(ValueError):
    """There is no Pyodide, or it is another; the message says how to get it."""


def find_pyodide(folder: Path | None) -> Path:
    """The folder of Pyodide's files: the one given, else `node_modules/pyodide` here or above, as Node looks for it.

    Raises `PyodideError`.
    """
    here = Path.cwd()
    places = [base / "node_modules" / "pyodide" for base in (here, *here.parents)] if folder is None else [folder]
    for place in places:
        if (place / "pyodide.mjs").is_file():
            return place
    where = "here" if folder is None else f"in `{folder}`"
    raise PyodideError(
        f"there is no Pyodide {where}, which runs the page: {HOW_TO_GET}, or name its folder with `--pyodide`"
    )


def page(modules: tuple[LoadedModule, ...], pyodide: Path) -> str:
    """The page of a policy, given as its files, the root last. Raises `PyodideError` and OSError."""
    root = Path(modules[-1].key)
    files = {
        Path(module.key).relative_to(root.parent).as_posix(): module.module.source.raw
        for module in modules
        if not module.standard
    }
    policy = {
        "root": root.name, "text": files[root.name].replace("\r\n", "\n").replace("\r", "\n"), "files": files,
        "worker": _file("worker.js"),
    }  # fmt: skip
    parts = "\n".join([
        _script('type="application/json" id="policy"', json.dumps(policy).replace("<", "\\u003c")),
        *(_part(name, data) for name, data in _pyodide(pyodide)),
        _part("rbrlang.zip", _package()),
    ])  # fmt: skip
    script = _file("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = (Path(report.__file__).parent / "templates" / "style.css").read_text("utf-8") + _file("page.css")
    return Template(_file("page.html")).substitute(
        title=html.escape(root.name), style=style, version=__version__, parts=parts, script=script,
        script_hash=f"sha256-{digest}",
    )  # fmt: skip


def _file(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _script(attributes: str, text: str) -> str:
    return f"<script {attributes}>{text}</script>"


def _part(name: str, data: bytes) -> str:
    packed = base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()
    return _script(f'type="text/plain" data-part="{name}"', packed)


def _pyodide(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name, digest in _HASHES.items():
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise PyodideError(f"`{folder / name}` is not that of Pyodide {PYODIDE}: {HOW_TO_GET}")
        yield name, data


def _package() -> bytes:
    """What runs in the page, as an archive: stored, for the page is compressed as a whole."""
    library = standard_library()
    found = {
        f"rbrlang/{path.relative_to(_PACKAGE).as_posix()}": path for room in _ROOMS for path in _PACKAGE.glob(room)
    }
    found["rbrlang/grammar/rbr.lark"] = grammar_path()
    found |= {f"rbrlang/stdlib_rules/{path.relative_to(library).as_posix()}": path for path in library.rglob("*.rbr")}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, path in sorted(found.items()):
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())  # a date that is always the same
    return packed.getvalue()

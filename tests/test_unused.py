"""What an import brings is either mentioned, or works by itself, or is reported with a fix that changes no meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic
from rbrlang.mend import mend
from rbrlang.policy import Checked, check_text

PARTS = {
    "tone": 'prop warm "Is warm."\nprop cold "Is cold."\nparam limit = 3\ngroup moods = { warm, cold }\nmild := warm & !cold\n',
    "types": 'prop done "Does it."\nresponse comply ranks good > bad\ncomply.good := done\ncomply.bad := otherwise\n',
    "facts": 'use "tone.rbr" (warm, cold)\naxiom warm => !cold\n',
    "above": 'use "facts.rbr"\nprop kind "Is kind."\n',
}
RULES = "response r ranks a > b\nr.a := x\nr.b := otherwise\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in PARTS.items():
        (tmp_path / f"{name}.rbr").write_text(text, encoding="utf-8")
    return tmp_path


def checked(place: Path, head: str, tail: str = "") -> Checked:
    return check_text(f'{head}\nprop x "X."\n{RULES}{tail}', name=str(place / "policy.rbr"))


def imports(found: Checked) -> list[Diagnostic]:
    return [d for d in found.diagnostics if d.code is codes.UNUSED_IMPORT]


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ('use "tone.rbr" (warm)', "axiom warm => x"),
        ('use "tone.rbr" (moods)', "axiom none(moods) => x"),
        ('use "tone.rbr" (limit)', "axiom words > limit => x"),
        ('use "tone.rbr" (moods)', "monotone r: moods up"),
        ('use "tone.rbr" as t', "axiom t.mild => x"),
        ('use "tone.rbr" (warm)', "reward r { features classes, warm }"),
        ('use "tone.rbr" (warm)', 'test "t" for r { given x, warm expect a }'),
        ('use "tone.rbr" (warm)', 'property "p" for r: warm & x => a'),
        ('use "types.rbr" (comply)', ""),
        ('use "types.rbr" as t', 'category "c" -> t.comply\ncategory "d" -> r'),
        ('use "types.rbr" as t', "override t.comply.good := super & x"),
        ('use "facts.rbr"', ""),
        ('use "above.rbr"', ""),
        ('use "above.rbr" (kind)', ""),
    ],
)
def test_what_is_mentioned_or_works_unmentioned_is_used(place: Path, head: str, tail: str) -> None:
    found = checked(place, head, tail)
    assert found.ok, found.diagnostics
    assert imports(found) == []


@pytest.mark.parametrize(
    ("head", "shown", "left"),
    [
        ('use "tone.rbr"', ['use "tone.rbr"'], ""),
        ('use "tone.rbr" as t', ['use "tone.rbr" as t'], ""),
        ('use "tone.rbr" (cold, moods)', ['use "tone.rbr" (cold, moods)'], ""),
        ('use "tone.rbr" (cold, warm)', ["cold"], 'use "tone.rbr" (warm)\n'),
        ('use "tone.rbr" (warm, cold)', ["cold"], 'use "tone.rbr" (warm)\n'),
        ('use "tone.rbr" (cold, mild, warm, limit)', ["cold", "mild", "limit"], 'use "tone.rbr" (warm)\n'),
        ('use "tone.rbr" (\n  cold,\n  warm,\n  limit\n)', ["cold", "limit"], 'use "tone.rbr" (\n  warm\n)\n'),
        ('use "types.rbr" (comply, done)', ["done"], 'use "types.rbr" (comply)\n'),
        ('use "types.rbr" as t', ['use "types.rbr" as t'], ""),
    ],
)
def test_what_is_not_mentioned_is_reported_and_taken_out(place: Path, head: str, shown: list[str], left: str) -> None:
    tail = "axiom warm => x\n" if "warm" in head else ""
    found = checked(place, head, tail)
    assert found.ok
    assert [d.span.text for d in imports(found)] == shown
    mended = mend(found, lambda text: check_text(text, name=str(place / "policy.rbr")))
    assert mended.text == f'{left}prop x "X."\n{RULES}{tail}'
    assert imports(mended.checked) == []
    assert mended.checked.fingerprint == found.fingerprint


def test_a_comment_is_never_taken_out(place: Path) -> None:
    for head in ('use "tone.rbr" # why', 'use "tone.rbr" ( # why\n  cold)'):
        (one,) = imports(checked(place, head))
        assert one.fixes == ()
    one, two = imports(checked(place, 'use "tone.rbr" (warm, # why\n  cold, limit)', "axiom warm => x"))
    assert one.fixes == ()
    assert len(two.fixes) == 1


def test_a_file_without_response_types_may_import_to_pass_on(place: Path) -> None:
    found = check_text('use "tone.rbr" (warm)\nprop x "X."\n', name=str(place / "policy.rbr"))
    assert imports(found) == []


def test_nothing_is_said_of_a_file_with_mistakes(place: Path) -> None:
    assert imports(checked(place, 'use "tone.rbr" (warm)', "axiom wram => x")) == []


def test_an_excuse_silences_it(place: Path) -> None:
    found = checked(place, 'use "tone.rbr" (warm)  # rbr: allow RBR4012 -- graded for a study')
    assert found.diagnostics == ()

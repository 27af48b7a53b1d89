"""Imports stay inside, form no cycles, and a file that is not text is said to be none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbrlang.lang.load import MAX_BYTES, MAX_DEPTH, LoadedModule, load, standard_library
from rbrlang.lang.reading.reparse import Reparser
from rbrlang.lang.syntax import Prop
from rbrlang.policy import Checked, check


def write(folder: Path, **files: str) -> Path:
    """Writes `name.rbr` for each name (`__` is a folder); the path of `main`."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".rbr")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "main.rbr"


def errors(checked: Checked) -> list[tuple[str, str]]:
    return [(d.code.id, d.span.text) for d in checked.diagnostics if d.severity == "error"]


RULES = "response r ranks x > y\nr.x := {}\nr.y := otherwise\n"


def test_files_come_children_first_and_once(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main='use "b.rbr" as b\nuse "sub/c.rbr" as c\n',
        b='use "sub/c.rbr" as c\n',
        sub__c='prop p "p"\n',
    )
    modules, problems = load(main)
    assert not problems
    assert [Path(m.key).name for m in modules] == ["c.rbr", "b.rbr", "main.rbr"]
    assert [m.module.source.name for m in modules][:2] == [str(tmp_path / "sub/c.rbr"), str(tmp_path / "b.rbr")]
    assert all(isinstance(m, LoadedModule) and not m.standard for m in modules)


def test_the_same_proposition_by_two_ways_is_one(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main='use "a.rbr" as a\nuse "b.rbr" (q)\n' + RULES.format("a.p & q"),
        a='prop p "p"\n',
        b='use "a.rbr" (p)\nq := !p\n',
    )
    checked = check(main)
    assert [p.name for p in checked.program.propositions] == ["p"]
    assert errors(checked) == [("RBR3003", "x")]


def test_propositions_of_one_name_from_two_files_keep_apart(tmp_path: Path) -> None:
    main = write(
        tmp_path, main='use "a.rbr" as a\nuse "b.rbr" as b\n' + RULES.format("a.p & b.p"),
        a='prop p "one"\n', b='prop p "two"\n',
    )  # fmt: skip
    checked = check(main)
    assert checked.ok
    assert [(p.name, p.statement) for p in checked.program.propositions] == [("p", "one"), ("b.p", "two")]


def test_weights_name_imported_propositions_as_this_file_does(tmp_path: Path) -> None:
    rules = RULES.format("a.p & b.p") + "reward r {\n weight b.p <= 0\n weight b.q <= 0\n}\n"
    main = write(
        tmp_path, main='use "a.rbr" as a\nuse "b.rbr" as b\n' + rules,
        a='prop p "one"\n', b='prop p "two"\nprop q "not in use"\n',
    )  # fmt: skip
    checked = check(main)
    assert errors(checked) == [("RBR2014", "b.q")]
    (response,) = checked.program.responses
    assert [(response.features[b.feature].name, b.high) for b in response.bounds] == [("b.p", 0)]


def test_imported_axioms_hold_where_their_propositions_are_in_use(tmp_path: Path) -> None:
    main = write(
        tmp_path, main='use "a.rbr" (p, q)\n' + RULES.format("p & q"),
        a='prop p "p"\nprop q "q"\nprop s "s"\naxiom !(p & q)\naxiom s => p\n',
    )  # fmt: skip
    checked = check(main)
    assert errors(checked) == [("RBR3003", "x")]
    assert len(checked.program.axioms) == 1


def test_an_imported_axiom_means_the_same_through_a_derived_proposition(tmp_path: Path) -> None:
    base = 'prop p "p"\nprop q "q"\nprop s "s"\nboth := p & q\nmore := both & s\naxiom !both\naxiom !more | !p\n'
    main = write(tmp_path, main='use "a.rbr" (p, q)\n' + RULES.format("p & q"), a=base)
    checked = check(main)
    assert errors(checked) == [("RBR3003", "x")]
    assert [axiom.span.text for axiom in checked.program.axioms] == ["axiom !both"]
    assert checked.program.atoms == ("p", "q")


def test_a_cycle_is_reported_where_it_closes(tmp_path: Path) -> None:
    main = write(tmp_path, main='use "a.rbr"\n', a='use "b.rbr"\n', b='use "a.rbr"\n')
    (diagnostic,) = check(main).diagnostics
    assert (diagnostic.code.id, diagnostic.message) == ("RBR2004", "files import each other: a.rbr → b.rbr → a.rbr")
    assert diagnostic.span.source.name.endswith("b.rbr")


def test_a_file_may_not_import_itself(tmp_path: Path) -> None:
    assert errors(check(write(tmp_path, main='use "main.rbr"\n'))) == [("RBR2004", '"main.rbr"')]


@pytest.mark.parametrize(
    "path", ["../out.rbr", "sub/../../out.rbr", "{}/out.rbr", "https://x.org/a.rbr", "", "a\\u0000b"]
)
def test_imports_stay_below_the_folder(tmp_path: Path, path: str) -> None:
    write(tmp_path, out='prop p "p"\n')
    path = path.format(tmp_path)
    assert errors(check(write(tmp_path / "in", main=f'use "{path}" as o\n'))) == [("RBR2006", f'"{path}"')]


def test_a_link_that_leads_outside_is_outside(tmp_path: Path) -> None:
    main = write(tmp_path / "in", main='use "link.rbr" as o\n')
    write(tmp_path, out='prop p "p"\n')
    (tmp_path / "in/link.rbr").symlink_to(tmp_path / "out.rbr")
    assert errors(check(main)) == [("RBR2006", '"link.rbr"')]


def test_what_cannot_be_a_file_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "loop.rbr").symlink_to(tmp_path / "loop.rbr")
    (tmp_path / "folder.rbr").mkdir()
    long = "x" * 5000
    main = write(tmp_path, main=f'use "loop.rbr"\nuse "folder.rbr"\nuse "{long}"\nuse "missing.rbr"\n')
    assert [code for code, _ in errors(check(main))] == ["RBR2005"] * 4


def test_a_root_adds_a_place_to_import_from(tmp_path: Path) -> None:
    write(tmp_path / "lib", shared='prop p "p"\n')
    main = write(tmp_path / "in", main='use "shared.rbr" (p)\n' + RULES.format("p"))
    assert errors(check(main)) == [("RBR2005", '"shared.rbr"')]
    assert check(main, roots=[tmp_path / "lib"]).ok


@pytest.mark.parametrize(
    "form", ['use "gone.rbr" (p, q)', 'use "gone.rbr" as m', 'use "gone.rbr"', "use std.nowhere as m"]
)
def test_a_failed_import_is_one_mistake(tmp_path: Path, form: str) -> None:
    name = {"(": "p & q", "m": "m.p & m.q", '"': "gone.p"}[form[-1] if form[-1] != ")" else "("]
    checked = check(write(tmp_path, main=form + "\n" + RULES.format(name)))
    assert [code for code, _ in errors(checked)] == ["RBR2005"]


def test_a_file_whose_name_is_no_name_needs_another(tmp_path: Path) -> None:
    main = write(tmp_path, main='use "no.rbr"\nuse "two-words.rbr"\nuse "no.rbr" as n\n', no='prop p "p"\n')
    (tmp_path / "two-words.rbr").write_text("")
    assert errors(check(main)) == [("RBR1011", '"no.rbr"'), ("RBR1011", '"two-words.rbr"')]


def test_standard_modules_are_suggested(tmp_path: Path) -> None:
    known = sorted(standard_library().rglob("*.rbr"))
    assert known
    parts = known[0].relative_to(standard_library()).with_suffix("").parts
    wanted = "std." + ".".join(parts)
    assert check(write(tmp_path, main=f"use {wanted} as m\n")).ok
    (diagnostic,) = check(write(tmp_path, main=f"use {wanted}x as m\n")).diagnostics
    assert (diagnostic.code.id, diagnostic.help) == ("RBR2005", f"did you mean `{wanted}`?")


@pytest.mark.parametrize("name", ["std", "std." + "x9" * 3000, "std.safety" + ".x" * 3000, "safety"])
def test_a_name_that_no_module_can_have_is_a_module_that_is_missing(name: str, tmp_path: Path) -> None:
    assert "RBR2005" in [code for code, _ in errors(check(write(tmp_path, main=f"use {name} as m\n")))]


def test_imports_may_not_go_without_end(tmp_path: Path) -> None:
    files = {f"f{n}": f'use "f{n + 1}.rbr"\n' for n in range(MAX_DEPTH + 20)}
    main = write(tmp_path, main='use "f0.rbr"\n', **files, **{f"f{MAX_DEPTH + 20}": ""})
    assert [code for code, _ in errors(check(main))] == ["RBR1008"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'prop a "a"\n\xff\xfe', "byte 0xff on line 2"),
        (b"\x7fELF\x01\x00\x00", "NUL on line 1"),
        (b"# " + b"x" * MAX_BYTES, "larger than 16 MiB"),
    ],
)
def test_what_is_not_text_is_said_to_be_none(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "main.rbr"
    path.write_bytes(data)
    (diagnostic,) = check(path).diagnostics
    assert diagnostic.code.id == "RBR1012"
    assert said in diagnostic.message


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_make_the_loader_raise(data: bytes) -> None:
    modules, problems = load(Path("never_on_disk.rbr"), read=lambda _: data)
    assert len(modules) == 1
    assert all(p.message for p in problems)


def test_a_byte_order_mark_and_windows_lines_change_nothing(tmp_path: Path) -> None:
    text = 'prop a "a" {\n  ask """\n    One.\n    Two.\n  """\n}\n' + RULES.format("a")
    plain = check(write(tmp_path, main=text))
    (tmp_path / "main.rbr").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    marked = check(tmp_path / "main.rbr")
    assert marked.fingerprint == plain.fingerprint
    assert marked.program.propositions[0].question == plain.program.propositions[0].question == "One.\nTwo."


def test_an_empty_file_is_a_policy_that_says_nothing(tmp_path: Path) -> None:
    checked = check(write(tmp_path, main=""))
    assert [d.code.id for d in checked.diagnostics] == ["RBR4011"]
    assert checked.program.responses == ()


def test_an_unreadable_root_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "missing.rbr")
    with pytest.raises(IsADirectoryError):
        check(tmp_path)


def test_a_file_is_parsed_again_only_when_its_text_has_changed(tmp_path: Path) -> None:
    child, root = tmp_path / "child.rbr", tmp_path / "root.rbr"
    child.write_text('prop a "A."\n', encoding="utf-8")
    root.write_text('use "child.rbr" (a)\naxiom a\n', encoding="utf-8")
    again = Reparser()
    first, _ = load(root, parser=again)
    root.write_text('use "child.rbr" (a)\naxiom !a\n', encoding="utf-8")
    second, _ = load(root, parser=again)
    assert second[0].module is first[0].module
    assert second[1].module is not first[1].module
    child.write_text('prop b "B."\n', encoding="utf-8")
    third, _ = load(root, parser=again)
    assert [s.name.text for s in third[0].module.statements if isinstance(s, Prop)] == ["b"]

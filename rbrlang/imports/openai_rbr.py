"""How does OpenAI's release of its rule-based rewards read as a policy?

Reads the `proposition_prompts.yaml` of `openai/safety-rbr-code-and-data` (Mu et al., 2024): simple
propositions with their grader prompts, derived propositions, completion classes per response type and
their order. Everything is kept: prompts word for word as `ask`, the grader's template as a comment,
literals in the order written. Names are snake-cased.
"""

from __future__ import annotations

from typing import Any

from rbrlang.imports.imported import Reading, read_yaml, snake_case
from rbrlang.lang.braces import as_text
from rbrlang.lang.printing.write import comment, long_text, quoted

_SECTIONS = (
    "prompt_template", "completion_class_order", "completion_classes", "derived_propositions", "simple_propositions",
)  # fmt: skip
# The release's rows carry these categories (its README; paper, section 3): the suffix names the behaviour.
_CATEGORIES = {
    "hard_refuse": ("C-R", "H-R", "K-R"),
    "safe_refuse_1": ("SH-R1",),
    "safe_refuse_2": ("SH-R2",),
    "comply": ("C-C", "H-C", "K-C", "SH-C", "None"),
}


def import_openai_rbr(text: str, source: str) -> str:
    """The release's YAML as the text of a `.rbr` file. Raises `ImportFormatError`."""
    return "\n".join(_Writer(read_yaml(text, source), source).parts())


class _Writer(Reading):
    def __init__(self, root: Any, source: str) -> None:
        super().__init__(source)
        self.root = self.mapping(root, "the file")
        self.called: dict[str, str] = {}
        unknown = sorted(str(key) for key in self.root if key not in _SECTIONS)
        missing = [key for key in _SECTIONS[1:] if key not in self.root]
        if missing or unknown:
            said = f"lacks `{missing[0]}`" if missing else f"has an unknown section `{unknown[0]}`"
            raise self.unfit(f"{said}; openai-rbr expects the sections " + ", ".join(f"`{s}`" for s in _SECTIONS))

    def _name(self, original: str) -> str:
        name = snake_case(original)
        if self.called.setdefault(name, original) != original:
            raise self.wrong(f"`{self.called[name]}` and `{original}` both become `{name}`; rename one of them")
        return name

    def parts(self) -> list[str]:
        """The file's sections, in the order of the language."""
        return [self._head(), *self._propositions(), self._derived(), *self._responses()]

    def _head(self) -> str:
        lines = f"rbr 1\n\n# Imported from {self.title} of OpenAI's safety-rbr-code-and-data.\n"
        template = self.root.get("prompt_template")
        if isinstance(template, str):
            lines += comment("The release's prompt to the grader, kept for the record:\n\n" + template)
        return lines

    def _propositions(self) -> list[str]:
        out: list[str] = []
        for original, body in self.mapping(self.root["simple_propositions"], "`simple_propositions`").items():
            where = f"proposition `{original}`"
            fields = self.mapping(body, where)
            prompt = fields.get("prompt")
            if not isinstance(prompt, str) or not prompt.strip() or len(fields) != 1:
                raise self.wrong(f"{where} must have a text `prompt` and nothing else")
            first = prompt.strip().splitlines()[0].strip()
            statement = first if first.endswith("?") else original.replace("_", " ").capitalize() + "."
            renamed = "" if snake_case(original) == original else comment(f"named `{original}` in the source")
            out.append(
                f"{renamed}prop {self._name(original)} {quoted(as_text(statement))} {{\n  ask {long_text(as_text(prompt), '    ')}\n}}\n"
            )
        return out

    def _literals(self, body: Any, where: str) -> str:
        literals: list[str] = []
        for original, value in self.mapping(body, where).items():
            if not isinstance(value, bool):
                raise self.wrong(f"{where}: `{original}` must be true or false, not {value!r}")
            name = snake_case(original)
            if self.called.get(name) != original:
                raise self.wrong(f"{where} names `{original}`, which is not a proposition")
            literals.append(name if value else f"!{name}")
        if not literals:
            raise self.wrong(f"{where} has no conditions")
        return " & ".join(literals)

    def _derived(self) -> str:
        out: list[str] = []
        for original, body in self.mapping(self.root["derived_propositions"], "`derived_propositions`").items():
            formula = self._literals(body, f"derived proposition `{original}`")
            out.append(f"{self._name(original)} :=\n  {_wrapped(formula)}\n")
        return "\n".join(out)

    def _responses(self) -> list[str]:
        order = self.root["completion_class_order"]
        if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
            raise self.wrong("`completion_class_order` is not a list of class names")
        rules: dict[str, dict[str, str]] = {}
        classes = self.mapping(self.root["completion_classes"], "`completion_classes`")
        for name, by_response in classes.items():
            if name not in order:
                raise self.wrong(f"class `{name}` is not in `completion_class_order`")
            for response, body in self.mapping(by_response, f"class `{name}`").items():
                formula = self._literals(body, f"class `{name}` of `{response}`")
                rules.setdefault(snake_case(response), {})[name] = formula
        out: list[str] = []
        for response, by_class in rules.items():
            ranked = [name for name in order if name in by_class]
            names = {name: snake_case(name) for name in ranked}
            text = f"response {response} ranks {' > '.join(names.values())}\n\n"
            for name in ranked:
                text += f"{response}.{names[name]} :=\n  {_wrapped(by_class[name])}\n"
            if response in _CATEGORIES:
                text += f"\ncategory {', '.join(quoted(c) for c in _CATEGORIES[response])} -> {response}\n"
            out.append(text)
        return out


def _wrapped(formula: str) -> str:
    """A conjunction over several lines when it is long."""
    lines: list[str] = [""]
    for literal in formula.split(" & "):
        if lines[-1] and len(lines[-1]) + len(literal) > 90:
            lines.append("")
        lines[-1] += f"{' & ' if lines[-1] else ''}{literal}"
    return "\n  & ".join(lines)

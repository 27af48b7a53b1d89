"""Which mistakes does rbrlang know, and under which stable names?

One row a code. `1xxx` syntax, `2xxx` names, types and imports, `3xxx` logic, `4xxx` lint, `5xxx` data,
grading and fitting, `6xxx` artefacts. A code is never given a second meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of finding: its stable id, severity, one-line title, and why it matters."""

    id: str
    severity: Severity
    title: str
    why: str


ALL: dict[str, Code] = {}


def _code(id: str, severity: Severity, title: str, why: str) -> Code:
    code = Code(id, severity, title, why)
    if ALL.setdefault(id, code) is not code:
        raise ValueError(f"this is a bug in rbrlang: {id} is defined twice")
    return code


SYNTAX = _code(
    "RBR1001", "error", "syntax error",
    "The statement cannot be read. Other statements of the file are still checked.",
)  # fmt: skip
UNEXPECTED_CHARACTER = _code(
    "RBR1002", "error", "unexpected character",
    "Names are lower case; text is quoted; anything else has no meaning outside a string.",
)  # fmt: skip
UNTERMINATED_STRING = _code(
    "RBR1003", "error", "string not closed",
    "A string that never ends swallows the statements behind it.",
)  # fmt: skip
UNCLOSED_BRACKET = _code(
    "RBR1004", "error", "bracket not closed",
    "Inside brackets a newline does not end a statement, so a missing bracket joins statements.",
)  # fmt: skip
UNMATCHED_BRACKET = _code("RBR1005", "error", "bracket without a partner", "Brackets come in pairs.")
MIXED_OPERATORS = _code(
    "RBR1006", "error", "`&` and `|` mixed without parentheses",
    "Reviewers disagree on which binds tighter; a reward must not depend on who reads it.",
)  # fmt: skip
FOREIGN_OPERATOR = _code(
    "RBR1007", "error", "operator of another language",
    "rbr writes `&`, `|` and `!`; one spelling keeps policies comparable.",
)  # fmt: skip
TOO_DEEP = _code(
    "RBR1008", "error", "nested too deeply",
    "A formula that deep cannot be reviewed; name its parts.",
)  # fmt: skip
BAD_STRING = _code("RBR1009", "error", "invalid escape in a string", "Strings use the escapes of JSON.")
BAD_EDITION = _code(
    "RBR1010", "error", "edition not known",
    "The edition line says which language the file is written in; a newer one needs a newer rbrc.",
)  # fmt: skip
KEYWORD_AS_NAME = _code("RBR1011", "error", "word of the language used as a name", "Keywords are reserved.")
NOT_TEXT = _code("RBR1012", "error", "file is not UTF-8 text", "Policies are text files in UTF-8.")
BAD_NUMBER = _code("RBR1013", "error", "number out of range", "Numbers are finite; counts are whole.")
TOO_MUCH_WORK = _code(
    "RBR1014", "error", "more work than the budget allows",
    "A policy from elsewhere must cost whoever checks it seconds, not hours; what was not checked is not accepted.",
)  # fmt: skip
HIDDEN_DIRECTION = _code(
    "RBR1015", "error", "character that turns the direction of text",
    "Such a character shows a reviewer another text than the one that is read (Trojan Source, CVE-2021-42574).",
)  # fmt: skip

UNKNOWN_NAME = _code(
    "RBR2001", "error", "unknown name",
    "A misspelt proposition would silently never be graded.",
)  # fmt: skip
DUPLICATE = _code("RBR2002", "error", "defined twice", "One name has one definition.")
RECURSIVE = _code(
    "RBR2003", "error", "recursive definition",
    "A rule must mean something without first knowing what it means.",
)  # fmt: skip
IMPORT_CYCLE = _code("RBR2004", "error", "import cycle", "Files that import each other have no order to be read in.")
MODULE_NOT_FOUND = _code("RBR2005", "error", "module not found", "An import names a file or a standard module.")
IMPORT_OUTSIDE = _code(
    "RBR2006", "error", "import outside the policy's folder",
    "A policy from elsewhere must not read your files; imports stay below the importing file's folder.",
)  # fmt: skip
WRONG_KIND = _code(
    "RBR2007", "error", "name of another kind",
    "Groups, classes, response types and numbers are not propositions.",
)  # fmt: skip
CLASS_WITHOUT_RULE = _code(
    "RBR2008", "error", "class without a rule",
    "A ranked class that no rule describes can never be reached.",
)  # fmt: skip
UNKNOWN_CLASS = _code("RBR2009", "error", "rule without a class", "A rule must belong to a ranked class.")
TWO_RULES = _code("RBR2010", "error", "two rules for one class", "Join them with `|`, or remove one.")
BAD_ANNOTATION = _code("RBR2011", "error", "annotation not understood", "Annotations set numbers in known ranges.")
BAD_PATTERN = _code(
    "RBR2012", "error", "no pattern, or no schema",
    "Patterns and schemas run on untrusted text, so they are such that cost little: RE2 and a part of JSON Schema.",
)  # fmt: skip
BAD_COUNT = _code(
    "RBR2013", "error", "count out of range",
    "A quantifier that is always true or always false is a slip.",
)  # fmt: skip
BAD_REWARD = _code(
    "RBR2014", "error", "reward block not understood", "Weights and margins belong to features and classes.",
)  # fmt: skip
BAD_TEST = _code("RBR2015", "error", "test not understood", "A test says what is given and which class is expected.")
UNKNOWN_PARAM = _code("RBR2016", "error", "parameter not declared", "`-D name=value` sets a declared `param`.")
BAD_OVERRIDE = _code(
    "RBR2017", "error", "override without a formula to replace",
    "An override replaces one formula of an imported response type; `super` is that formula.",
)  # fmt: skip
BAD_COLUMN = _code(
    "RBR2018", "error", "column not understood",
    "A question that names a column which no row is known to have would be asked with its braces.",
)  # fmt: skip
FOREIGN_TEMPLATE = _code(
    "RBR2019", "error", "template of another tool",
    "Nothing fills `{{ … }}` here: a grader would be asked about the braces.",
)  # fmt: skip
BAD_VARIABLE = _code(
    "RBR2020", "error", "scale or choice not understood",
    "A scale has at least two levels, a choice at least two options, and each is one possible answer to its question.",
)  # fmt: skip
BAD_VALUE = _code(
    "RBR2021", "error", "comparison with a value that there is not",
    "A scale is compared with its levels, a choice with its options; anything else could never be the answer.",
)  # fmt: skip

GAP = _code(
    "RBR3001", "error", "gap: an assignment has no class",
    "A completion that no rule describes would be rewarded by accident.",
)  # fmt: skip
OVERLAP = _code(
    "RBR3002", "error", "overlap: an assignment has two classes",
    "Ranked classes must exclude each other, or the same completion is both better and worse than itself.",
)  # fmt: skip
IMPOSSIBLE_CLASS = _code(
    "RBR3003", "error", "impossible class",
    "No completion can ever be in this class: its own rule, the axioms or the other rules leave nothing for it.",
)  # fmt: skip
CONTRADICTORY_AXIOMS = _code(
    "RBR3004", "error", "contradictory axioms",
    "No completion satisfies all axioms, so everything follows from them.",
)  # fmt: skip
IMPLIED_RULE = _code(
    "RBR3005", "warning", "rule implied by another",
    "Two rules of one response type that say the same, or of which one contains the other, are one rule too many.",
)  # fmt: skip
TEST_FAILED = _code("RBR3006", "error", "test failed", "The rules do not say what the test expects.")
PROPERTY_VIOLATED = _code(
    "RBR3007", "error", "property violated",
    "Some completion breaks a statement that should hold of all.",
)  # fmt: skip
TOO_LARGE = _code(
    "RBR3008", "error", "rules too large to decide",
    "The decision diagram outgrew its budget; a rule set without structure cannot be reviewed either.",
)  # fmt: skip
UNREACHABLE_LINE = _code(
    "RBR3009", "warning", "cascade line never reached",
    "Earlier lines, or the axioms, leave it none of the completions that it describes.",
)  # fmt: skip
NOT_MONOTONE = _code(
    "RBR3010", "error", "monotone claim violated",
    "For some completion, making the proposition true moves its class the wrong way.",
)  # fmt: skip

UNUSED_PROPOSITION = _code(
    "RBR4001", "warning", "proposition that no rule or feature reaches",
    "It costs a grader call and changes nothing.",
)  # fmt: skip
UNUSED_DEFINITION = _code("RBR4002", "warning", "definition that is not used", "Dead text misleads reviewers.")
UNMAPPED_RESPONSE = _code(
    "RBR4003", "note", "response type that no category maps to",
    "Rows must then name the response type themselves.",
)  # fmt: skip
SIGN_CONTRADICTS_RANK = _code(
    "RBR4004", "warning", "weight that contradicts the rank",
    "A better class whose weight is fixed below a worse one's rewards the worse.",
)  # fmt: skip
ONE_POLARITY = _code(
    "RBR4005", "warning", "few-shots of one polarity only",
    "Examples of one answer only teach a grader to give that answer.",
)  # fmt: skip
REDUNDANT = _code(
    "RBR4006", "warning", "operand that changes nothing",
    "What makes no difference was probably meant to make one.",
)  # fmt: skip
INERT_PROPOSITION = _code(
    "RBR4007", "warning", "proposition that can never change a class",
    "The rules mention it, and mean the same without it.",
)  # fmt: skip
COMPOUND_QUESTION = _code(
    "RBR4008", "warning", "compound question",
    "A grader that is asked two things at once answers neither; rules join propositions, not questions.",
)  # fmt: skip
UNUSED_ALLOW = _code(
    "RBR4009", "warning", "allow that silences nothing",
    "A comment that excuses a finding must go when the finding goes, or it will excuse the next one.",
)  # fmt: skip
BAD_ALLOW = _code(
    "RBR4010", "warning", "allow not understood",
    "An excuse names the codes of warnings or notes, and its reason: `# rbr: allow RBR4001 -- why`.",
)  # fmt: skip
EMPTY_FILE = _code(
    "RBR4011", "note", "file that declares nothing",
    "A check that finds nothing wrong with nothing proves nothing.",
)  # fmt: skip
UNUSED_IMPORT = _code(
    "RBR4012", "warning", "import that is not used",
    "A name that is brought in and never mentioned hides what a policy rests on; a proposition is graded for nothing.",
)  # fmt: skip
LITERAL_BRACES = _code(
    "RBR4013", "warning", "braces in an example that nothing fills",
    "An example may quote code; it may also name a column that was forgotten or misspelt.",
)  # fmt: skip
TRIVIAL_COMPARISON = _code(
    "RBR4014", "warning", "comparison that says nothing",
    "A comparison that every level satisfies, or none, is most probably off by one.",
)  # fmt: skip

BAD_ROW = _code("RBR5001", "error", "row not usable", "A row that cannot be read is reported, never guessed.")
NO_PAIRS = _code("RBR5002", "error", "nothing to fit", "Weights are learned from ranked pairs within a prompt.")
GRADER_FAILED = _code("RBR5003", "error", "grader failed", "A failed answer is never a number.")
BAD_ARTEFACT = _code("RBR6001", "error", "artefact not usable", "An artefact is read as hostile input.")

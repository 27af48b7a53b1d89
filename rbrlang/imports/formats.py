"""Which formats can be imported, and what of each?"""

from __future__ import annotations

from typing import NamedTuple

from rbrlang.imports.geval import import_geval
from rbrlang.imports.imported import Imported, Importer
from rbrlang.imports.llama_guard import import_llama_guard
from rbrlang.imports.openai_grader import import_openai_grader
from rbrlang.imports.openai_rbr import import_openai_rbr
from rbrlang.imports.openenv import import_openenv
from rbrlang.imports.per_prompt import import_healthbench, import_rar
from rbrlang.imports.prometheus import import_prometheus
from rbrlang.imports.promptfoo import import_promptfoo
from rbrlang.imports.rubric import import_autorubric, import_rubric, import_verifiers
from rbrlang.imports.xstest import import_xstest


class Format(NamedTuple):
    """A format, what is read of it, and a file of it as an example."""

    read: Importer
    what: str
    example: str


def _openai_rbr(text: str, source: str) -> Imported:
    return Imported(import_openai_rbr(text, source))


FORMATS = {
    "openai-rbr": Format(
        _openai_rbr, "OpenAI's release of its rule-based rewards", "proposition_prompts.yaml",
    ),
    "rubric": Format(import_rubric, "weighted criteria of the package `rubric`, YAML or JSON", "rubric.yaml"),
    "autorubric": Format(import_autorubric, "criteria of autorubric, with options or without, and its data sets with labels", "essays.json"),
    "verifiers": Format(import_verifiers, "criteria of a rubric judge of verifiers, TOML or JSON", "criteria.toml"),
    "promptfoo": Format(import_promptfoo, "assertions of promptfoo: asked, or measured in the text", "promptfooconfig.yaml"),
    "openai-grader": Format(import_openai_grader, "graders of OpenAI's evals: labels, scores and string checks", "grader.json"),
    "llama-guard": Format(import_llama_guard, "a taxonomy of unsafe content, as guard models are prompted with", "taxonomy.txt"),
    "healthbench": Format(import_healthbench, "prompts of HealthBench with a rubric each, with rows", "2025-05-07-oss_eval.jsonl"),
    "rar": Format(import_rar, "questions of Rubrics as Rewards with a rubric each, with rows", "rar_medicine.jsonl"),
    "prometheus": Format(import_prometheus, "score rubrics of Prometheus, and tasks of BiGGen-Bench, with rows", "data.json"),
    "geval": Format(import_geval, "GEval metrics of DeepEval: Python that is not run, JSON or YAML", "metrics.py"),
    "openenv": Format(import_openenv, "rubrics of OpenEnv, made of judges: Python that is not run", "environment.py"),
    "xstest": Format(import_xstest, "labelled completions of XSTest, with rows", "xstest_v2_completions_gpt4.csv"),
}  # fmt: skip

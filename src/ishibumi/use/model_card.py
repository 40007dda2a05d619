"""The model card of an export: README.md in English and Japanese. A finished run → text.

A figure that the run did not measure and a licence that nobody stated are said to be missing, not left out.
"""

import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ishibumi import __version__, artifacts
from ishibumi.config import Run
from ishibumi.corpus.read import load_documents
from ishibumi.errors import ArtifactError
from ishibumi.models.load import find_base

LABELS = {  # row → English, Japanese
    "base": ("Base model", "基盤モデル"),
    "recipe": ("Recipe", "レシピ"),
    "trained": ("Training", "学習"),
    "documents": ("Documents", "文書"),
    "exam": ("Exam, share of replies with the answer", "試験（答えを含む返答の割合）"),
    "perplexity": ("Perplexity of general text, after / before", "一般文のパープレキシティ（後／前）"),
    "base_license": ("Licence of the base model", "基盤モデルのライセンス"),
    "data_license": ("Licence of the documents", "文書のライセンス"),
    "made": ("Made with", "作成"),
    "format": ("Format", "形式"),
}
MISSING = ("not stated", "記載なし")
NOT_MEASURED = ("not measured in this run", "この実行では測っていません")
ROUNDED = ("both asked with matrices rounded to {}", "どちらも行列を {} に丸めて測定")
LIMITS = (
    "It can be wrong, above all in figures: check what matters in the documents. It was tuned on the documents above "
    "and knows little of what came later. Models made from a base model are under the base model's licence.",
    "特に数字を間違えることがあります。大事なことは元の文書で確かめてください。上の文書より後のことはほとんど知りません。"
    "基盤モデルから作ったモデルには、基盤モデルのライセンスが適用されます。",
)
# Terms that hold for every model of a family, whoever packed it.
FAMILY_TERMS = {"gemma": "Gemma Terms of Use, https://ai.google.dev/gemma/terms"}
ARMS = {"base": ("base", "元のモデル"), "engraved": ("this model", "このモデル")}


@dataclass(frozen=True)
class Licences:
    """What the user says about the licences; empty where nothing was said."""

    base: str = ""
    data: str = ""


def model_card(run: Run, form: str, proof: dict[str, Any], licences: Licences) -> str:
    """The text of README.md, English first."""
    sections = [
        _section(run, form, proof, licences, language, heading)
        for language, heading in enumerate(("About this model", "このモデルについて"))
    ]
    name = run.path.resolve().parent.name
    return f"# {name} ({run.settings.model.base})\n\n" + "\n".join(sections)


def _section(run: Run, form: str, proof: dict[str, Any], licences: Licences, language: int, heading: str) -> str:
    missing, settings = MISSING[language], run.settings
    exam, perplexity = _measured(run, language)
    values = {
        "base": settings.model.base,
        "recipe": settings.recipe,
        "trained": _trained(run.run_dir),
        "documents": _documents(run.run_dir),
        "exam": exam,
        "perplexity": perplexity,
        "base_license": licences.base or base_licence(run) or f"{missing} (--base-license)",
        "data_license": licences.data or f"{missing} (--data-license)",
        "format": form,
        "made": f"ishibumi {__version__}",
    }
    rows = "\n".join(f"| {LABELS[key][language]} | {value} |" for key, value in values.items())
    proved = json.dumps(proof, ensure_ascii=False, indent=1)
    says = ("Compared with the model that sat the exam:", "試験を受けたモデルとの比較:")[language]
    return f"## {heading}\n\n| | |\n|---|---|\n{rows}\n\n{LIMITS[language]}\n\n{says}\n\n```json\n{proved}\n```\n"


def _trained(run_dir: Path) -> str:
    parts: list[str] = []
    for stage in ("cpt", "sft"):
        manifest = artifacts.load(run_dir / stage).manifest
        if manifest["steps"]:
            parts.append(f"{stage}: {manifest['tokens']:,} tokens, {manifest['steps']:,} steps")
    return "; ".join(parts)


def _documents(run_dir: Path) -> str:
    documents = load_documents(run_dir / "corpus")
    dates = sorted(document.date for document in documents if document.date)
    return f"{len(documents)}" + (f", {dates[0]} – {dates[-1]}" if dates else "")


def _measured(run: Run, language: int) -> tuple[str, str]:
    """The exam's shares and the perplexity ratios, as the report has them."""
    try:
        path = artifacts.load(run.run_dir / "report").path / "summary.json"
    except ArtifactError:
        return NOT_MEASURED[language], NOT_MEASURED[language]
    summary = artifacts.read_json(path)
    shares = [
        f"{name[language]} {row['mean']:.0%} ({row['low']:.0%}–{row['high']:.0%})"
        for arm, name in ARMS.items()
        if arm in summary["arms"]
        for row in [summary["arms"][arm]["all"]["contains"]]
    ]
    if shares and (precision := summary.get("exam_precision", "bf16")) != "bf16":
        shares.append(ROUNDED[language].format(precision))
    ratios = [f"{name} {ratio:.2f}" for name, ratio in summary["perplexity_ratio"].items()]
    return "; ".join(shares) or NOT_MEASURED[language], "; ".join(ratios) or NOT_MEASURED[language]


def base_licence(run: Run) -> str:
    """The licence of its family, else what the base's package says, else the licence files beside its weights."""
    name = run.settings.model.base
    kind = str(artifacts.read_json(run.run_dir / "sft" / "model" / "config.json")["model_type"])
    if terms := next((terms for family, terms in FAMILY_TERMS.items() if kind.startswith(family)), ""):
        return terms
    try:
        metadata = importlib.metadata.metadata(name)
        found = [metadata[key] for key in ("License-Expression", "License") if key in metadata]
        return found[0].splitlines()[0] if found else ""
    except (importlib.metadata.PackageNotFoundError, ValueError):
        files = sorted(path.name for path in find_base(name, run.base_dir).glob("LICENSE*"))
        return ", ".join(files)

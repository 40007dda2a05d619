"""The last stage: everything that the run left behind → report/report.html and report/summary.json."""

import datetime as dt
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ishibumi import __version__, artifacts
from ishibumi.artifacts import STAGES, TRAINING_STAGES, Artifact, read_json, read_jsonl, write_json, write_text
from ishibumi.config import Run, describe
from ishibumi.corpus.read import load_documents
from ishibumi.exam.forgetting import compared
from ishibumi.exam.free import count_figures, load_free_answers
from ishibumi.exam.questions import TRAINING, UNANSWERABLE, Question
from ishibumi.exam.report import ReportData, render_report
from ishibumi.exam.sit import load_answers, load_perplexities
from ishibumi.exam.skills import summarise_skills
from ishibumi.exam.summary import summarise
from ishibumi.knowledge.items import Item, load_items
from ishibumi.knowledge.leaks import coverage

BITS = {"fp8": 8, "nf4": 4}


def fill_report(run: Run, questions: list[Question], directory: Path) -> None:
    """Write report.html and summary.json into `directory`."""
    run_dir = run.run_dir
    stages = {stage: artifacts.load(run_dir / stage) for stage in STAGES[:-1]}
    documents = load_documents(run_dir / "corpus")
    answers = load_answers(run_dir / "exam")
    asked = _asked(load_items(run_dir / "knowledge"), questions)
    arms = summarise(answers, questions, asked)
    free = load_free_answers(run_dir / "exam")
    own = [question for question in questions if question.split not in (TRAINING, UNANSWERABLE)]
    perplexities, skills = load_perplexities(run_dir / "exam"), summarise_skills(run_dir / "exam")
    trained = [stage for stage in TRAINING_STAGES if (run_dir / stage / "proof.json").exists()]
    seconds = {stage: float(artifact.manifest["seconds"]) for stage, artifact in stages.items()}
    first = documents[0].title or documents[0].text[:30]
    data = ReportData(
        title=first if len(documents) == 1 else f"{first} … ({len(documents)})",
        language=run.settings.report.language,
        created=dt.datetime.now(dt.UTC).astimezone().isoformat(timespec="minutes"),
        model=run.settings.model.base,
        recipe=run.settings.recipe,
        documents=documents,
        questions=questions,
        answers=answers,
        arms=arms,
        history={stage: read_jsonl(run_dir / stage / "history.jsonl") for stage in trained},
        epoch_steps={stage: stages[stage].manifest["epoch_steps"] for stage in trained},
        perplexities=perplexities,
        skills=skills,
        proof={stage: read_json(run_dir / stage / "proof.json") for stage in trained},
        written=stages["knowledge"].manifest["written"],
        refused=stages["knowledge"].manifest["refused"],
        free=free,
        settings=[(row.key, row.value, row.origin) for row in describe(run)],
        versions=versions(),
        seconds=seconds,
        notes=_notes(stages, [asked[question.id] for question in own], arms),
    )
    write_text(directory / "report.html", render_report(data))
    summary = {
        "recipe": run.settings.recipe,
        "arms": arms,
        "free": count_figures(free, answers) if free else None,
        "perplexity_ratio": {language: ratio for language, *_, ratio in compared(perplexities)},
        "skills": skills,
        "exam_precision": stages["exam"].manifest.get("precision", "bf16"),
        "seconds": seconds,
        "tokens": {stage: stages[stage].manifest["tokens"] for stage in trained},
        "settings": [asdict(row) for row in describe(run)],
        "versions": versions(),
    }
    write_json(directory / "summary.json", summary)


def _asked(items: Sequence[Item], questions: Sequence[Question]) -> dict[str, bool]:
    """For every question id whether a generated question of one of its documents has its answer."""
    places = [(question, document_id) for question in questions for document_id in question.document_ids]
    covered = coverage(items, [(document_id, [q.answer, *q.accept]) for q, document_id in places])
    found = {question.id for (question, _), is_covered in zip(places, covered, strict=True) if is_covered}
    return {question.id: question.id in found for question in questions}


def versions() -> dict[str, str]:
    """What the result depends on besides its inputs: packages and hardware."""
    packages = ("torch", "transformers", "tokenizers", "numpy")
    found = {"ishibumi": __version__, "Python": platform.python_version()}
    found |= {package: importlib.metadata.version(package) for package in packages}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {**found, "CPU cores": str(os.cpu_count()), "GPU": gpu, "system": platform.platform()}


def _notes(stages: dict[str, Artifact], asked: list[bool], arms: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Everything that was left out, and how far training's questions reach."""
    notes: list[tuple[str, str]] = []
    for reason, count in stages["corpus"].manifest["left_out"].items():
        notes.append((f"{count} documents were left out: {reason}.", f"{count}件の文書を除きました: {reason}"))
    if not_asked := stages["knowledge"].manifest["prompts_not_asked"]:
        notes.append((
            f"{not_asked} prompts were not sent to the endpoint because the token budget was spent.",
            f"トークンの上限に達したため、{not_asked}件のプロンプトはエンドポイントに送っていません。",
        ))  # fmt: skip
    if leaked := stages["knowledge"].manifest["left_out_as_exam_wording"]:
        notes.append((
            f"{leaked} generated texts were left out because they came too close to the exam's wording.",
            f"生成した文のうち{leaked}件は、試験の文面に近すぎるため訓練から除きました。",
        ))  # fmt: skip
    if other := stages["exam"].manifest["questions_about_other_documents"]:
        notes.append((
            f"{other} exam questions are about documents that are not in this run.",
            f"試験問題のうち{other}問は、この実行に含まれない文書についてのものなので出していません。",
        ))  # fmt: skip
    if (precision := stages["exam"].manifest.get("precision", "bf16")) != "bf16":
        bits = BITS[precision]
        notes.append((
            f"Both models replied with their matrices in {bits} bits ({precision}); those that are saved have them as "
            "they were merged, and may reply otherwise.",
            f"どちらのモデルも、行列を {bits} ビット（{precision}）に丸めて答えました。"
            "保存されたモデルの行列は丸める前のもので、答えが異なることがあります。",
        ))  # fmt: skip
    if asked:
        notes.append((
            f"For {sum(asked)} of {len(asked)} exam questions, training had a question of its own with the same answer "
            "about the same document.",
            f"試験問題{len(asked)}問のうち{sum(asked)}問では、同じ文書について同じ答えになる別の質問が訓練にありました。",
        ))  # fmt: skip
    engraved = arms.get("engraved")
    if engraved and engraved["all"]["cites_right"]:
        share = engraved["all"]["cites_right"]
        notes.append((
            f"The engraved model named the right document in {share:.0%} of its replies, right or wrong in the answer.",
            f"刻んだモデルは、答えの正誤によらず、返答の{share:.0%}で正しい文書を出典に挙げました。",
        ))  # fmt: skip
    for stage in TRAINING_STAGES:
        if too_long := stages[stage].manifest.get("texts_too_long"):
            notes.append((
                f"{too_long} texts in {stage} were longer than a row.",
                f"{stage} の{too_long}件の文は行の長さを超えました。",
            ))  # fmt: skip
    return notes

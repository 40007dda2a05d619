"""What the page shows of a run: documents, training as it goes, the exam, what was forgotten. run_dir → JSON."""

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse

from ishibumi.artifacts import MANIFEST, STAGES, TRAINING_STAGES
from ishibumi.config import Run
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import load_documents
from ishibumi.display import STEPS_FOR_SPEED
from ishibumi.errors import IshibumiError
from ishibumi.exam.evaluate import Answer
from ishibumi.exam.forgetting import compared
from ishibumi.exam.questions import Question
from ishibumi.exam.report import document_results
from ishibumi.exam.retrieval import Index, index_documents
from ishibumi.exam.sit import load_answers, load_perplexities
from ishibumi.knowledge.citation import title_of
from ishibumi.training.stage import PROGRESS
from ishibumi.use.serve_guard import problem

MAX_POINTS = 1000  # of a loss curve
NUM_NEAREST = 3

Row = dict[str, Any]
Questions = Callable[[Sequence[Document]], Sequence[Question]]


def run_routes(run: Run, questions: Questions) -> APIRouter:
    """The routes of the page's data; `questions` gives the exam's questions about these documents."""
    routes = APIRouter(prefix="/api")

    @lru_cache(maxsize=1)
    def examined(changed: int) -> list[Row]:
        del changed  # part of the key: an exam that was held anew is read anew
        return _exam(run, questions)

    @routes.get("/run")
    def about() -> Row:
        """What was trained on what, and how far the run is."""
        settings = run.settings
        states = {stage: _state(run.run_dir, stage) for stage in STAGES}
        return {"base": settings.model.base, "recipe": settings.recipe, "language": settings.report.language,
                "directory": run.run_dir.name, "stages": states, "finished": states["sft"] == "done"}  # fmt: skip

    @routes.get("/documents")
    def documents() -> list[Row]:
        """All documents, without their texts."""
        return [_head(document) for document in _documents(run)]

    @routes.get("/documents/{document_id:path}")
    def one_document(document_id: str) -> Row:
        """A document as it was engraved, without its title line."""
        for document in _documents(run):
            if document.id == document_id:
                return {**_head(document), "text": document.text}
        raise HTTPException(404, problem("The run has no such document.", code="document_not_found"))

    @routes.get("/near")
    def near(question: str) -> list[Row]:
        """The documents nearest to a question by BM25, best first; `read` by the model called retrieval or not."""
        num_read = run.settings.exam.retrieved_documents
        index = _corpus(run)
        found = index.retrieve(question, max(NUM_NEAREST, num_read)) if index else []
        return [{**_head(document), "read": place < num_read} for place, document in enumerate(found)]

    @routes.get("/training")
    def training() -> list[Row]:
        """Both training stages: loss step by step, speed and what is left."""
        return [found for stage in TRAINING_STAGES if (found := training_of(run.run_dir, stage))]

    @routes.get("/exam")
    def exam() -> JSONResponse:  # made here: FastAPI would look at each of the many values before
        """The exam by document and what was forgotten; empty before there is one."""
        directory = run.run_dir / "exam"
        if _state(run.run_dir, "exam") != "done":
            return JSONResponse({"documents": [], "forgetting": []})
        try:
            found = examined((directory / MANIFEST).stat().st_mtime_ns)
        except IshibumiError:  # a file of questions was moved since
            found = []
        return JSONResponse({"documents": found, "forgetting": _forgetting(directory)})

    return routes


def training_of(run_dir: Path, stage: str) -> Row | None:
    """How a training stage goes or went; None if it has not begun."""
    partial = run_dir / f"{stage}.partial" / PROGRESS
    live = partial.exists()
    path = partial if live else run_dir / stage / "history.jsonl"
    if not path.exists():
        return None
    steps = {row["step"]: row for row in _whole_lines(path)}  # one that was done again counts once
    if not steps:
        return {"stage": stage, "live": live, "num_steps": 0, "steps": [], "epochs": []}
    rows = [steps[step] for step in sorted(steps)]
    last, recent = rows[-1], rows[-STEPS_FOR_SPEED:]
    seconds = sum(row["seconds"] for row in recent[1:])
    num_tokens = recent[-1]["tokens"] - recent[0]["tokens"]
    starts = [b["step"] for a, b in itertools.pairwise(rows) if b["epoch"] > a["epoch"]]
    shown = rows[:: math.ceil(len(rows) / MAX_POINTS)]
    return {
        "stage": stage,
        "live": live,
        "num_steps": last["num_steps"],
        "step": last["step"],
        "tokens": last["tokens"],
        "epoch": last["epoch"],
        "known": last.get("known"),
        "epochs": starts,
        "steps": [[row["step"], round(row["loss"], 4)] for row in [*shown, *([last] if shown[-1] is not last else [])]],
        "tokens_per_second": num_tokens / seconds if seconds else None,
        "seconds_left": seconds / (len(recent) - 1) * (last["num_steps"] - last["step"]) if seconds else None,
        "seconds_since": time.time() - path.stat().st_mtime,
    }


def _whole_lines(path: Path) -> list[Row]:
    """The rows of a file that may be written to just now."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _state(run_dir: Path, stage: str) -> str:
    if (run_dir / stage / MANIFEST).exists():
        return "done"
    return "running" if (run_dir / f"{stage}.partial").exists() else "waiting"


def _corpus(run: Run) -> Index | None:
    path = run.run_dir / "corpus"
    manifest = path / MANIFEST
    return _indexed(path, manifest.stat().st_mtime_ns) if manifest.exists() else None


def _documents(run: Run) -> Sequence[Document]:
    """The documents of the corpus; none before there is one."""
    index = _corpus(run)
    return index.documents if index else ()


@lru_cache(maxsize=1)
def _indexed(path: Path, changed: int) -> Index:
    del changed  # part of the key: a corpus that was made anew is read anew
    return index_documents(load_documents(path))


def _head(document: Document) -> Row:
    return {
        "id": document.id,
        "title": title_of(document),
        "date": document.date.isoformat() if document.date else None,
        "language": document.language,
    }


def _exam(run: Run, questions: Questions) -> list[Row]:
    """Every document that was asked about, with its questions and every arm's reply."""
    documents = _documents(run)
    results = document_results(documents, questions(documents), load_answers(run.run_dir / "exam"))
    return [{**_head(found.document), "questions": [_row(*row) for row in found.answered]} for found in results]


def _row(question: Question, by_arm: Mapping[str, Answer]) -> Row:
    replies = {
        arm: {"reply": a.reply, "cited": a.cited, "quoted": a.quoted, "right": a.contains} for arm, a in by_arm.items()
    }
    names = ("id", "question", "answer", "split", "language")
    return {**{name: getattr(question, name) for name in names}, "replies": replies}


def _forgetting(directory: Path) -> list[Row]:
    return [
        {"language": language, "before": before.value, "after": after.value, "ratio": ratio}
        for language, before, after, ratio in compared(load_perplexities(directory))
    ]

"""Train and examine variants of a run's settings, one after another on one device. Settings + variants → a table.

python experiments/variants.py SETTINGS.toml KNOWLEDGE_DIR OUT.jsonl 'cpt.rank=32' 'cpt.rank=128 kept=1,0.85' …

Each argument after OUT is a variant: settings that differ, separated by spaces («base» for none). KNOWLEDGE_DIR has
documents.jsonl and items.jsonl as the stages corpus and knowledge wrote them, and gets the texts that the base writes
and what the base knows, which all variants share. A variant may name other items with items=FILE, so many characters of
them as the documents have with times=3, and shares of what was learned with kept=1,0.85, each of which sits the exam;
«rehearse» among them only asks the base.
"""

import json
import random
import shlex
import sys
import tempfile
import time
from bisect import bisect
from dataclasses import asdict
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from ishibumi.artifacts import read_jsonl
from ishibumi.config import Run, load
from ishibumi.corpus.chat_data import read_conversations
from ishibumi.corpus.clean import language_of
from ishibumi.corpus.read import load_documents
from ishibumi.corpus.texts import read_texts
from ishibumi.exam.drawn import drawn_questions
from ishibumi.exam.free import count_figures, load_free_answers
from ishibumi.exam.free_questions import read_free_questions
from ishibumi.exam.questions import TRAINING, for_documents
from ishibumi.exam.sit import Side, load_answers, load_perplexities, sit_exam
from ishibumi.exam.skills import summarise_skills
from ishibumi.exam.summary import summarise
from ishibumi.exam_stage import own_questions, skills_of
from ishibumi.knowledge.items import Item
from ishibumi.knowledge.leaks import remove_leaks
from ishibumi.models.load import LoadedModel, load_model
from ishibumi.training.cpt import cpt_examples, cpt_mix
from ishibumi.training.rehearsal import rehearsal_texts
from ishibumi.training.saved import keep_share
from ishibumi.training.sft import sft_examples, sft_mix
from ishibumi.training.stage import run_stage


def main() -> None:
    """Run every variant of the command line."""
    settings_path, knowledge, out = map(Path, sys.argv[1:4])
    for variant in sys.argv[4:]:
        pairs = dict(part.split("=", 1) for part in shlex.split(variant) if "=" in part)
        items = [Item(**row) for row in read_jsonl(knowledge / pairs.pop("items", "items.jsonl"))]
        shares = [float(share) for share in pairs.pop("kept", "1").split(",")]
        times = float(pairs.pop("times", "inf"))
        run = load(settings_path, pairs)
        documents = load_documents(knowledge)
        items = some_of(items, times * sum(len(d.text) for d in documents), run.settings.seed)
        items = remove_leaks(items, [q.question for q in own_questions(run)])[0]
        examine(run, load_model(run.settings.model, run.base_dir), items, knowledge, knowledge / "base", "before")
        model = load_model(run.settings.model, run.base_dir)
        if "rehearse" in variant.split():
            rehearsal(run, model, knowledge)
            continue
        row = {"variant": variant, **train(run, model, items, knowledge)}
        before = 1.0
        for share in shares:  # falling: each step goes further back to the base
            if share < before:
                keep_share(model, load_model(run.settings.model, run.base_dir), share / before)
                before = share
            tell(out, {**row, "kept": share}, run, model, items, knowledge)


def some_of(items: list[Item], num_characters: float, seed: int) -> list[Item]:
    """Items drawn at random until questions, answers and views have so many characters; all if they are shorter."""
    order = random.Random(seed).sample(range(len(items)), len(items))
    so_far = list(accumulate(len(items[i].text) + len(items[i].answer) for i in order))
    return [items[i] for i in sorted(order[: 1 + bisect(so_far, num_characters)])]


def train(run: Run, model: LoadedModel, items: list[Item], knowledge: Path) -> dict[str, Any]:
    """Both stages, on the given items. Returns what they cost."""
    settings = run.settings
    sources = [(run.resolve(s.path), s.count) for s in settings.chat.sources]
    chats = read_conversations(sources, settings.seed).conversations
    replay = read_texts([run.resolve(p) for p in settings.replay.paths]) + rehearsal(run, model, knowledge)
    documents = load_documents(knowledge)
    started = time.monotonic()
    stages = [(cpt_examples(model, documents, items, replay, chats, settings), cpt_mix(settings), settings.cpt)]
    if settings.sft.epochs > 0:
        stages.append((sft_examples(model, documents, items, chats, settings), sft_mix(settings), settings.sft))
    manifests = []
    with tempfile.TemporaryDirectory() as directory:
        for number, (examples, mix, stage) in enumerate(stages):
            path = Path(directory) / str(number)
            path.mkdir()
            made = run_stage(
                model,
                examples,
                mix,
                stage,
                path,
                seed=settings.seed + number,
                on_step=lambda record: None,
                should_stop=lambda: False,
            )
            manifests.append(made)
    return {
        "tokens": [m["tokens"] for m in manifests],
        "steps": [m["steps"] for m in manifests],
        "loss": [round(m["loss_last"], 3) for m in manifests],
        "known": [m["known"] for m in manifests],
        "forgotten": [m["forgotten"] for m in manifests],
        "training_seconds": [m["training_seconds"] for m in manifests],
        "seconds": round(time.monotonic() - started),
    }


def rehearsal(run: Run, model: LoadedModel, knowledge: Path) -> list[str]:
    """The first texts that the untouched base wrote with this seed, as many as the settings say."""
    count, seed = run.settings.replay.rehearsal_texts, run.settings.seed
    if not count:
        return []
    directory = knowledge / f"rehearsal-{seed}"
    directory.mkdir(exist_ok=True)
    beginnings = read_texts([run.resolve(p) for p in run.settings.replay.paths])
    return rehearsal_texts(model, beginnings, directory, count=count, seed=seed, on_text=lambda *_: None)[:count]


def examine(run: Run, model: LoadedModel, items: list[Item], knowledge: Path, directory: Path, side: str) -> None:
    """The real exam of one side, into `directory`; the base does not answer questions here."""
    directory.mkdir(exist_ok=True)
    settings, documents = run.settings.exam, {d.id: d for d in load_documents(knowledge)}
    general: dict[str, list[str]] = {}
    for text in read_texts([run.resolve(p) for p in settings.general]):
        general.setdefault(language_of(text), []).append(text)
    free = [q for path in settings.free_questions for q in read_free_questions(run.resolve(path))]
    questions = for_documents(own_questions(run), documents)[0]
    draw = partial(drawn_questions, items, documents, split=TRAINING)
    questions = [*questions, *draw(count=settings.training_questions, seed=run.settings.seed)]
    who = Side(side, lambda: model, ("engraved",) if side == "after" else ())
    sit_exam(who, questions, documents, general, settings, directory, lambda *_: None, free, skills_of(run))


def tell(
    out: Path, row: dict[str, Any], run: Run, model: LoadedModel, items: list[Item], knowledge: Path
) -> None:  # fmt: skip
    """Examine the trained model and write its row and answers."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for kept in (knowledge / "base").iterdir():
            (directory / kept.name).write_bytes(kept.read_bytes())
        examine(run, model, items, knowledge, directory, "after")
        documents = {d.id: d for d in load_documents(knowledge)}
        questions = for_documents(own_questions(run), documents)[0]
        questions += drawn_questions(
            items, documents, split=TRAINING, count=run.settings.exam.training_questions, seed=run.settings.seed
        )
        answers = load_answers(directory)
        summary = summarise(answers, questions, {q.id: True for q in questions})["engraved"]
        perplexity = load_perplexities(directory)
        row["all"] = {k: round(v, 3) for k, v in summary["all"]["contains"].items()} | {"n": summary["all"]["n"]}
        row["by_split"] = {k: [round(v["contains"]["mean"], 3), v["n"]] for k, v in summary["by_split"].items()}
        row["by_language"] = {k: round(v["contains"]["mean"], 3) for k, v in summary["by_language"].items()}
        row["by_kind"] = {k: [round(v["contains"]["mean"], 3), v["n"]] for k, v in summary["by_kind"].items()}
        row["stopped"], row["honesty"] = round(summary["all"]["stopped"], 3), summary["honesty"]
        row["perplexity"] = {
            k: round(v.value / perplexity["before"][k].value, 3) for k, v in perplexity["after"].items()
        }
        row["skills"] = summarise_skills(directory)
        which = {"variant": row["variant"], "kept": row["kept"]}
        free = load_free_answers(directory)
        row["free"] = count_figures(free, answers)
        write(out, row)
        for reply in free:
            write(out.with_suffix(".answers.jsonl"), which | asdict(reply))
        asked = {q.id: q for q in questions}
        for answer in answers:
            q = asked[answer.question_id]
            shown = (q.split, q.question, q.answer, answer.reply, answer.contains, answer.cited, answer.quoted)
            sure = round(answer.mean_logprob, 4) if answer.mean_logprob is not None else None
            write(out.with_suffix(".answers.jsonl"), which | {"answer": shown, "mean_logprob": sure})
    print(json.dumps(row, ensure_ascii=False), flush=True)


def write(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

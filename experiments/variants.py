"""Train and examine variants of a run's settings, one after another on one device. Settings + variants → a table.

python experiments/variants.py SETTINGS.toml KNOWLEDGE_DIR OUT.jsonl 'cpt.rank=32' 'cpt.rank=128 cpt.epochs=6' …

Each argument after OUT is a variant: settings that differ, separated by spaces («base» for none). KNOWLEDGE_DIR has
documents.jsonl and items.jsonl as the stages corpus and knowledge wrote them, and gets the texts that the base writes,
which all variants share; a variant may name other items with items=FILE, and «rehearse» only writes those texts. Only
the engraved model sits the exam, because the other arms do not depend on the settings.
"""

import json
import random
import shlex
import sys
import tempfile
import time
from pathlib import Path

from ishibumi.artifacts import read_jsonl
from ishibumi.config import Run, load
from ishibumi.corpus.chat_data import read_conversations
from ishibumi.corpus.clean import language_of
from ishibumi.corpus.read import load_documents
from ishibumi.corpus.texts import read_texts
from ishibumi.exam.evaluate import run_arm
from ishibumi.exam.forgetting import perplexity
from ishibumi.exam.interval import interval
from ishibumi.exam.questions import HELD_OUT, Question, for_documents, read_questions
from ishibumi.knowledge.items import Item
from ishibumi.models.load import LoadedModel, load_model
from ishibumi.training.cpt import cpt_examples, cpt_mix
from ishibumi.training.rehearsal import rehearsal_texts
from ishibumi.training.saved import keep_share
from ishibumi.training.sft import sft_examples, sft_mix
from ishibumi.training.stage import run_stage


def main() -> None:
    """Run every variant of the command line."""
    settings_path, knowledge_dir, out = map(Path, sys.argv[1:4])
    base_ppl: dict[str, float] = {}
    for variant in sys.argv[4:]:
        if variant == "rehearse":
            run = load(settings_path)
            rehearsal(run, load_model(run.settings.model, run.base_dir), knowledge_dir)
            continue
        pairs = dict(part.split("=", 1) for part in shlex.split(variant) if "=" in part)
        items = [Item(**row) for row in read_jsonl(knowledge_dir / pairs.pop("items", "items.jsonl"))]
        run = load(settings_path, pairs)
        base_ppl = base_ppl or perplexities(run, load_model(run.settings.model, run.base_dir))
        row = {"variant": variant, **measure(run, items, knowledge_dir, base_ppl)}
        with out.open("a") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(json.dumps({k: v for k, v in row.items() if k != "answers"}, ensure_ascii=False), flush=True)


def measure(run: Run, items: list[Item], knowledge_dir: Path, base_ppl: dict[str, float]) -> dict[str, object]:
    """Recall, stops, perplexity ratios and speed of one variant."""
    settings = run.settings
    documents = load_documents(knowledge_dir)
    chats = read_conversations(
        [(run.resolve(s.path), s.count) for s in settings.chat.sources], settings.seed
    ).conversations
    replay = read_texts([run.resolve(p) for p in settings.replay.paths])
    model = load_model(settings.model, run.base_dir)
    started = time.monotonic()
    manifests = []
    with tempfile.TemporaryDirectory() as directory:
        if settings.replay.rehearsal_texts:
            replay += rehearsal(run, model, knowledge_dir)
        stages = [(cpt_examples(model, documents, items, replay, chats, settings), cpt_mix(settings), settings.cpt)]
        if settings.sft.epochs > 0:
            stages.append((sft_examples(model, documents, items, chats, settings), sft_mix(settings), settings.sft))
        for number, (examples, mix, stage) in enumerate(stages):
            path = Path(directory) / str(number)
            path.mkdir()
            manifests.append(
                run_stage(
                    model,
                    examples,
                    mix,
                    stage,
                    path,
                    seed=settings.seed + number,
                    on_step=lambda record: None,
                    should_stop=lambda: False,
                )
            )
    if settings.sft.kept < 1:
        keep_share(model, load_model(settings.model, run.base_dir), settings.sft.kept)
    seconds = time.monotonic() - started
    by_id = {d.id: d for d in documents}
    questions, _ = for_documents(read_questions([run.resolve(p) for p in settings.exam.questions]), by_id)
    answers = run_arm("engraved", model, questions, by_id, settings.exam)
    gold = run_arm("gold_passage", model, questions, by_id, settings.exam)
    plain = [a for q, a in zip(questions, answers, strict=True) if q.split == HELD_OUT]
    found = interval([float(a.contains) for a in plain], [a.document_id for a in plain])
    kinds: dict[str, list[bool]] = {}
    for q, a in zip(questions, answers, strict=True):
        kinds.setdefault(q.kind if q.split == HELD_OUT else q.split, []).append(a.contains)
    after = perplexities(run, model)
    asked = [i for i in items if i.kind == "question"]
    sample = random.Random(settings.seed).sample(asked, min(128, len(asked)))
    trained = [Question("", i.document_id, "", i.text, i.answer, (), "") for i in sample]
    known = run_arm("engraved", model, trained, by_id, settings.exam)
    return {
        "contains": round(found.mean, 3), "low": round(found.low, 3), "high": round(found.high, 3), "n": len(plain),
        "falsely_refused": round(sum(a.refused for a in plain) / len(plain), 3),
        "training_questions": round(sum(a.contains for a in known) / len(known), 3),
        "exact": round(sum(a.exact for a in answers) / len(answers), 3),
        "gold_passage": round(sum(a.contains for a in gold) / len(gold), 3),
        "cites": round(sum(a.cites_right for a in answers) / len(answers), 3),
        "stopped": round(sum(a.stopped for a in answers) / len(answers), 3),
        "ppl_ratio": {k: round(after[k] / base_ppl[k], 3) for k in after},
        "tokens": [m["tokens"] for m in manifests], "steps": [m["steps"] for m in manifests],
        "loss": [round(m["loss_last"], 3) for m in manifests],
        "padding": [round(m["padding_share"], 3) for m in manifests],
        "merge": [round(m["merge_difference"], 4) for m in manifests],
        "seconds": round(seconds), "tokens_per_second": round(sum(m["tokens"] for m in manifests) / seconds),
        "kinds": {k: f"{sum(v)}/{len(v)}" for k, v in sorted(kinds.items())},
        "answers": [
            (q.question, q.answer, a.reply, a.contains, a.cited, a.quoted)
            for q, a in zip(questions, answers, strict=True)
        ],
    }  # fmt: skip


def rehearsal(run: Run, model: LoadedModel, knowledge_dir: Path) -> list[str]:
    """The first texts that the untouched base wrote with this seed, as many as the settings say."""
    directory = knowledge_dir / f"rehearsal-{run.settings.seed}"
    directory.mkdir(exist_ok=True)
    replay, count = read_texts([run.resolve(p) for p in run.settings.replay.paths]), run.settings.replay.rehearsal_texts
    written = rehearsal_texts(
        model, replay, directory, count=count, seed=run.settings.seed, on_text=lambda *_: None
    )  # fmt: skip
    return written[:count]


def perplexities(run: Run, model: LoadedModel) -> dict[str, float]:
    """Language → perplexity of the settings' general text."""
    texts: dict[str, list[str]] = {}
    for text in read_texts([run.resolve(p) for p in run.settings.exam.general]):
        texts.setdefault(language_of(text), []).append(text)
    return {k: perplexity(model, v).value for k, v in texts.items()}


if __name__ == "__main__":
    main()

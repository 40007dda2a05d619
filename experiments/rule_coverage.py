"""What the rules ask of the World Cup example: coverage of the exam's facts and questions a document, by language.

python experiments/rule_coverage.py [OUT]        (OUT takes items and documents of the group stage)

Stages corpus and knowledge, default [knowledge] settings, seed 1; a fact is asked as the report says «asked».
"""

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import ishibumi as ib
from ishibumi.config import Run, load
from ishibumi.corpus.read import load_documents
from ishibumi.exam.questions import UNANSWERABLE, read_questions
from ishibumi.knowledge.items import Item, load_items
from ishibumi.knowledge.leaks import coverage

EXAMPLE = Path(__file__).parent.parent / "examples" / "worldcup2026"


def main() -> None:
    """Measure both languages and both halves of the tournament."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for name in ("group_ja", "knockout_ja", "group_en", "knockout_en"):
        with tempfile.TemporaryDirectory() as directory:
            run = _run(Path(directory), name)
            ib.build_corpus(run)
            ib.make_knowledge(run)
            _measure(run, name)
            if out and name.startswith("group"):
                out.mkdir(parents=True, exist_ok=True)
                shutil.copy(run.run_dir / "knowledge" / "items.jsonl", out / f"items_{name[-2:]}.jsonl")
                shutil.copy(run.run_dir / "corpus" / "documents.jsonl", out / f"documents_{name[-2:]}.jsonl")


def _run(directory: Path, name: str) -> Run:
    settings = directory / "ishibumi.toml"
    questions = [str(EXAMPLE / f"questions_{name[-2:]}.jsonl")]
    settings.write_text(
        f'recipe = "mixed"\nseed = 1\n[model]\nbase = "none"\n[documents]\npaths = ["{EXAMPLE / name}.jsonl"]\n'
        f"[exam]\nquestions = {questions!r}\n"
    )
    return load(settings)


def _measure(run: Run, name: str) -> None:
    documents = load_documents(run.run_dir / "corpus")
    items = load_items(run.run_dir / "knowledge")
    ids = {d.id for d in documents}
    asked = [
        q
        for q in read_questions([run.resolve(p) for p in run.settings.exam.questions])
        if q.document_id in ids and not q.other_document_ids and q.split != UNANSWERABLE
    ]
    wanted = [(q.document_id, [q.answer, *q.accept]) for q in asked]
    found = coverage(items, wanted)
    in_words = coverage([i for i in items if i.rule not in ("cloze", "keywords")], wanted)
    questions = Counter(i.document_id for i in items if i.kind == "question")
    print(
        f"{name}: {sum(found)} of {len(found)} facts asked ({sum(found) / len(found):.1%}), without holes and keywords"
        f" {sum(in_words) / len(found):.1%}; {len(documents)} documents,"
        f" questions a document {sum(questions.values()) / len(documents):.1f} (least {min(questions.values())}),"
        f" views {sum(i.kind == 'view' for i in items) / len(documents):.1f}; characters {_characters(items):,}"
    )
    print("   ", dict(Counter(i.rule for i in items).most_common()))


def _characters(items: list[Item]) -> int:
    return sum(len(i.text) + len(i.answer) for i in items)


if __name__ == "__main__":
    main()

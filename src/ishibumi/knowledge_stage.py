"""The second stage: what training learns besides the documents. corpus/ → knowledge/items.jsonl"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ishibumi.artifacts import Artifact, write_jsonl
from ishibumi.config import Run
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import iterate_documents
from ishibumi.corpus_stage import SILENT, Watch, stage_path
from ishibumi.exam_stage import free_wordings, own_questions
from ishibumi.joint_stage import existing, fingerprint_of, made_together
from ishibumi.knowledge.ambiguous import without_two_answers
from ishibumi.knowledge.generator import items_of, without_common_answers
from ishibumi.knowledge.held_out import hold_out
from ishibumi.knowledge.items import HELD_OUT_FILE, Item
from ishibumi.knowledge.leaks import remove_leaks
from ishibumi.knowledge.writer_endpoint import check_endpoint
from ishibumi.knowledge.written import Writer, what_counts, write_items
from ishibumi.models.load import base_identity


def make_knowledge(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """corpus → knowledge/items.jsonl: views and questions, none of which repeats the exam's wording.

    Without exam questions some shapes of question are left for the exam, in knowledge/held_out.jsonl.
    """
    settings = run.settings.knowledge
    share = 0.0 if run.settings.exam.questions else run.settings.exam.generated_share
    exam_paths = [run.resolve(p) for p in run.settings.exam.questions]
    if "endpoint" in settings.generator:
        check_endpoint(settings.endpoint)

    def work(directory: Path) -> dict[str, Any]:
        documents = list(trained_documents(run))
        items, counts = _made_items(run, documents, watch)
        clear = without_two_answers(items)
        telling = without_common_answers(clear, len(documents))
        asked = [*(q.question for q in own_questions(run)), *free_wordings(run)]
        unleaked, leaked = remove_leaks(telling, asked)
        kept, held_out = hold_out(unleaked, share=share, seed=run.settings.seed)
        write_jsonl(directory / "items.jsonl", map(asdict, kept))
        write_jsonl(directory / HELD_OUT_FILE, map(asdict, held_out))
        kinds = {kind: sum(item.kind == kind for item in kept) for kind in ("view", "question")}
        refused = counts.pop("refused") + Counter({"another answer elsewhere": len(items) - len(clear)})
        refused += Counter({"common answer": len(clear) - len(telling)})
        left_out = {"left_out_as_exam_wording": len(leaked), "kept_for_exam": len(unleaked) - len(kept)}
        return {**kinds, "refused": dict(refused), **counts, **left_out}

    writes_itself = "model" in settings.generator
    base = base_identity(settings.model.base or run.settings.model.base, run.base_dir) if writes_itself else None
    inputs = [what_counts(settings), base, run.settings.seed, fingerprint_of(run, "corpus"), *existing(exam_paths)]
    inputs += free_wordings(run)
    inputs += [f"held out {share}"] if share else []  # runs with an exam of their own are not made anew for this
    return made_together(run, "knowledge", watch, inputs, work)


def _made_items(run: Run, documents: Sequence[Document], watch: Watch) -> tuple[list[Item], dict[str, Any]]:
    """The items of all documents from every generator, and the counts of what was refused, written and not asked."""
    settings, items, refused = run.settings.knowledge, list[Item](), Counter[str]()
    counts: dict[str, Any] = {"written": {}, "prompts_not_asked": 0}
    views, wordings = settings.views_per_document, settings.wordings_per_fact
    if "rules" in settings.generator:
        for document in documents:
            made, faults = items_of(
                document, views_per_document=views, wordings_per_fact=wordings, seed=run.settings.seed
            )
            items += made
            refused += faults
    writers: list[Writer] = [name for name in ("model", "endpoint") if name in settings.generator]
    for writer in writers:
        written = write_items(
            writer,
            documents,
            settings,
            model=run.settings.model,
            base_dir=run.base_dir,
            seed=run.settings.seed,
            on_reply=partial(watch.answered, writer),
        )
        items += written.items
        refused += written.refused
        counts["written"] |= written.by_kind
        counts["prompts_not_asked"] += written.num_not_asked
    return items, {"refused": refused, **counts}


def trained_documents(run: Run) -> Iterator[Document]:
    """The documents of the corpus but those after documents.train_until, which are for the exam alone."""
    yield from (d for d in iterate_documents(stage_path(run, "corpus")) if is_trained(run, d))


def is_trained(run: Run, document: Document) -> bool:
    """Whether the document is dated no later than documents.train_until."""
    last = run.settings.documents.train_until
    return last is None or document.date is None or document.date <= last

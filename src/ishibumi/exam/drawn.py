"""Exam questions that a run has from its own generated items: [Item] → [Question].

training   as they were trained, to be compared with other wording
generated  shapes that were kept out of training, where no exam was written
"""

import random
from collections.abc import Mapping, Sequence

from ishibumi.corpus.documents import Document
from ishibumi.exam.questions import GENERATED, TRAINING, Question
from ishibumi.knowledge.items import Item

MAX_GENERATED = 200  # enough for an interval of ±7 points


def training_questions(
    items: Sequence[Item], documents: Mapping[str, Document], *, count: int, seed: int
) -> list[Question]:
    """`count` questions of training drawn by `seed`, or all if there are fewer, in the order of the items."""
    return _drawn(items, documents, TRAINING, count, seed)


def generated_questions(held_out: Sequence[Item], documents: Mapping[str, Document], *, seed: int) -> list[Question]:
    """Questions that were held out of training, at most MAX_GENERATED, drawn by `seed`."""
    return _drawn(held_out, documents, GENERATED, MAX_GENERATED, seed)


def _drawn(
    items: Sequence[Item], documents: Mapping[str, Document], split: str, count: int, seed: int
) -> list[Question]:
    asked = [item for item in items if item.kind == "question" and item.document_id in documents]
    picks = sorted(random.Random(f"{seed} {split} questions").sample(range(len(asked)), min(count, len(asked))))
    return [
        Question(
            f"{split}:{number}",
            item.document_id,
            documents[item.document_id].language,
            item.text,
            item.answer,
            (),
            item.rule if split == GENERATED else "other",
            split,
        )
        for number, item in ((pick + 1, asked[pick]) for pick in picks)
    ]

"""Exam questions that a run has from its own generated items: [Item] → [Question].

training   as they were trained, to be compared with other wording
generated  shapes that were kept out of training, where no exam was written
"""

import random
from collections.abc import Mapping, Sequence

from ishibumi.corpus.documents import Document
from ishibumi.exam.questions import Question
from ishibumi.knowledge.items import Item, is_open, is_unknown


def drawn_questions(
    items: Sequence[Item], documents: Mapping[str, Document], *, split: str, count: int, seed: int
) -> list[Question]:
    """`count` of the questions about `documents`, or all if there are fewer, in their order; drawn by `seed`.

    Their ids begin with the split; their kind is the rule that made them.
    """
    telling = (i for i in items if i.kind == "question" and not is_open(i) and not is_unknown(i))
    asked = [item for item in telling if item.document_id in documents]
    picks = random.Random(f"{seed} {split} questions").sample(range(len(asked)), min(count, len(asked)))
    found: list[Question] = []
    for pick in sorted(picks):
        item = asked[pick]
        language = documents[item.document_id].language
        name = f"{split}:{pick + 1}"
        found.append(Question(name, item.document_id, language, item.text, item.answer, (), item.rule, split))
    return found

"""Views and questions from documents, by rules alone: [Document] → [Item].

No other model is needed. What a document yields depends on that document, the settings and the seed; then questions
are left out that have another answer elsewhere, or whose answer half of the other documents give as well.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence

from ishibumi.corpus.documents import Document
from ishibumi.knowledge import read_en, read_ja
from ishibumi.knowledge.ambiguous import without_two_answers
from ishibumi.knowledge.asking import ask
from ishibumi.knowledge.checks import check_items
from ishibumi.knowledge.items import OPEN, Item, is_unknown
from ishibumi.knowledge.open_questions import OPEN_SHARE, open_questions
from ishibumi.knowledge.story import BY_NAME
from ishibumi.knowledge.views import views_of

MAX_GIVING = 3  # so many documents may give an answer in any case


def make_items(
    documents: Sequence[Document], *, views_per_document: int, wordings_per_fact: int, seed: int
) -> list[Item]:
    """The items of all documents, document by document, views before questions."""
    settings = {"views_per_document": views_per_document, "wordings_per_fact": wordings_per_fact, "seed": seed}
    items = [i for d in documents for i in items_of(d, **settings)[0]]
    return without_common_answers(without_two_answers(items), len(documents))


def without_common_answers(items: Sequence[Item], num_documents: int) -> list[Item]:
    """The items without questions whose answer tells no document from the others («W杯», «2026年», «FW»).

    A word is common if a quarter of the documents give it as an answer, a figure if half of them do; a refusal is none.
    A question that names its subject is kept: what it asks («X: role?») tells the subject from the others.
    """
    answers = {(item.document_id, item.answer) for item in items if item.kind == "question"}
    num_giving = Counter(answer for _, answer in answers)

    def is_common(answer: str) -> bool:
        share = 0.5 if any(c.isdecimal() for c in answer) else 0.25
        return num_giving[answer] > max(MAX_GIVING, share * num_documents)

    return [i for i in items if i.kind == "view" or is_unknown(i) or i.rule == BY_NAME or not is_common(i.answer)]


def items_of(
    document: Document, *, views_per_document: int, wordings_per_fact: int, seed: int
) -> tuple[list[Item], Counter[str]]:
    """One document's items, and how many were refused by reason."""
    rng = random.Random(hashlib.sha256(f"{seed}\0{document.id}".encode()).digest())
    story = (read_en if document.language == "en" else read_ja).read_story(document)
    views = views_of(story, count=views_per_document, rng=rng)
    items = [Item(document.id, "view", rule, text) for rule, text in views]
    for asked in ask(story, wordings_per_fact=wordings_per_fact, rng=rng):
        items.append(Item(document.id, "question", asked.rule, asked.text, asked.fact.answer, asked.fact.sentence))
    num_open = round(OPEN_SHARE * views_per_document) if wordings_per_fact else 0
    for text, answer in open_questions(document, story.subjects, count=num_open, rng=rng):
        items.append(Item(document.id, "question", OPEN, text, answer))
    return check_items(items, source=story.source, language=document.language)

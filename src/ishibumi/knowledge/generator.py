"""Views and questions from documents, by rules alone: [Document] → [Item].

No other model is needed. What a document yields depends on that document, the settings and the seed; then questions
are left out whose answer half of the other documents give as well.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence

from ishibumi.corpus.documents import Document
from ishibumi.knowledge import asking_ja, contexts_en, contexts_ja, rules_en, views_en, views_ja
from ishibumi.knowledge.checks import check_items
from ishibumi.knowledge.items import Item, is_unknown
from ishibumi.knowledge.keywords_ja import keyword_questions
from ishibumi.knowledge.open_questions import OPEN, OPEN_SHARE, open_questions

MAX_GIVING = 3  # so many documents may give an answer in any case


def make_items(
    documents: Sequence[Document], *, views_per_document: int, wordings_per_fact: int, seed: int
) -> list[Item]:
    """The items of all documents, document by document, views before questions."""
    settings = {"views_per_document": views_per_document, "wordings_per_fact": wordings_per_fact, "seed": seed}
    return without_common_answers([i for d in documents for i in items_of(d, **settings)[0]], len(documents))


def without_common_answers(items: Sequence[Item], num_documents: int) -> list[Item]:
    """The items without questions whose answer tells no document from the others («W杯», «2026年», «FW»).

    A word is common if a quarter of the documents give it as an answer, a figure if half of them do; a refusal is none.
    """
    answers = {(item.document_id, item.answer) for item in items if item.kind == "question"}
    num_giving = Counter(answer for _, answer in answers)

    def is_common(answer: str) -> bool:
        share = 0.5 if any(c.isdecimal() for c in answer) else 0.25
        return num_giving[answer] > max(MAX_GIVING, share * num_documents)

    return [i for i in items if i.kind == "view" or is_unknown(i) or not is_common(i.answer)]


def items_of(
    document: Document, *, views_per_document: int, wordings_per_fact: int, seed: int
) -> tuple[list[Item], Counter[str]]:
    """One document's items, and how many were refused by reason."""
    rng = _random(seed, document.id)
    read = _english if document.language == "en" else _japanese
    views, questions, source = read(document, views_per_document, wordings_per_fact, rng)
    items = [Item(document.id, "view", rule, text) for rule, text in views]
    items += [Item(document.id, "question", *question) for question in questions]
    return check_items(items, source=source, language=document.language)


def _random(seed: int, document_id: str) -> random.Random:
    """A generator of random numbers that depends on the seed and this document only."""
    return random.Random(hashlib.sha256(f"{seed}\0{document_id}".encode()).digest())


def _japanese(
    document: Document, num_views: int, num_wordings: int, rng: random.Random
) -> tuple[list[tuple[str, str]], list[tuple[str, str, str, str]], str]:
    story = contexts_ja.read_story(document)
    views = views_ja.views_of(story, count=num_views, rng=rng)
    asked = asking_ja.ask(story, wordings_per_fact=num_wordings, rng=rng)
    questions = [(w.rule, text, w.answer, evidence) for w, text, evidence in asked]
    for sentence in story.sentences:
        found = keyword_questions(story, sentence, rng, num_wordings)
        questions += [("keywords", text, answer, sentence.text) for text, answer in found]
    questions += _open(document, [c.text for c in story.contexts], num_views if num_wordings else 0, rng)
    return views, questions, story.source


def _english(
    document: Document, num_views: int, num_wordings: int, rng: random.Random
) -> tuple[list[tuple[str, str]], list[tuple[str, str, str, str]], str]:
    story = contexts_en.read_story(document)
    views = views_en.views_of(story, count=num_views, rng=rng)
    asked = rules_en.ask(story, wordings_per_fact=num_wordings, rng=rng)
    questions = [(w.rule, text, w.answer, sentence) for w, text, sentence in asked]
    questions += _open(document, list(story.contexts), num_views if num_wordings else 0, rng)
    return views, questions, story.source


def _open(
    document: Document, contexts: list[str], num_views: int, rng: random.Random
) -> list[tuple[str, str, str, str]]:
    """Open questions, in proportion to the views."""
    count = round(OPEN_SHARE * num_views)
    return [(OPEN, text, answer, "") for text, answer in open_questions(document, contexts, count=count, rng=rng)]

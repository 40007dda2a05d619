"""The sentence that an answer stands in, for questions that come without it. (Item, Document) → Item."""

from dataclasses import replace

from ishibumi.corpus.documents import Document
from ishibumi.knowledge import english, japanese
from ishibumi.knowledge.checks import comparable
from ishibumi.knowledge.items import Item, is_unknown


def with_evidence(item: Item, document: Document) -> Item:
    """The question with the sentence of its document that holds its answer; as it is where none does.

    Of several sentences it is the one that shares the most pairs of characters with the question, if one does so alone.
    """
    if item.kind == "view" or is_unknown(item):
        return item
    split = english.split_sentences if document.language == "en" else japanese.split_sentences
    answer, asked = comparable(item.answer), _pairs(item.text)
    shared = {s: len(asked & _pairs(s)) for s in split(document.text) if answer in comparable(s)}
    most = max(shared.values(), default=0)
    best = [sentence for sentence, n in shared.items() if n == most]
    return replace(item, evidence=best[0]) if len(best) == 1 else item


def _pairs(text: str) -> set[str]:
    plain = comparable(text)
    return {plain[i : i + 2] for i in range(len(plain) - 1)}

"""The sentence that an answer stands in, for questions that come without it. (Item, Document) → Item."""

from dataclasses import replace

from ishibumi.corpus.documents import Document
from ishibumi.knowledge import english, japanese
from ishibumi.knowledge.checks import comparable
from ishibumi.knowledge.items import Item


def with_evidence(item: Item, document: Document) -> Item:
    """The question with the only sentence of its document that holds its answer; as it is where several do, or none."""
    if item.kind == "view":
        return item
    split = english.split_sentences if document.language == "en" else japanese.split_sentences
    answer = comparable(item.answer)
    holding = [sentence for sentence in split(document.text) if answer in comparable(sentence)]
    return replace(item, evidence=holding[0]) if len(holding) == 1 else item

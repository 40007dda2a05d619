"""Retrieval: the documents nearest to a question by BM25. [Document] → Index → retrieve(question) → [Document].

Japanese is cut into pairs of characters and whole runs of one script, English into words: no dictionary is needed.
"""

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # bm25s tries JAX, which would take three quarters of a GPU's memory
import bm25s

from ishibumi.corpus.dates import format_date
from ishibumi.corpus.documents import Document

RUNS = re.compile(r"[a-z0-9à-ÿ]+|[ァ-ヺー]+|[一-鿿々]+|[ぁ-ん]+")
LATIN = re.compile(r"[a-z0-9à-ÿ]")


@dataclass(frozen=True)
class Index:
    """Documents with their BM25 weights; make it with `index_documents`."""

    documents: tuple[Document, ...]
    weights: bm25s.BM25 = field(repr=False)

    def retrieve(self, question: str, k: int) -> list[Document]:
        """The `k` documents that fit best, best first (all of them if there are fewer); ties keep their order."""
        terms = [term for term in search_terms(question) if term in self.weights.vocab_dict]
        if not terms:
            return list(self.documents[:k])
        scores = self.weights.get_scores(terms)
        order = np.argsort(-scores, kind="stable")[:k]
        return [self.documents[int(index)] for index in order]


def index_documents(documents: Sequence[Document]) -> Index:
    """An index over titles, dates and texts."""
    weights = bm25s.BM25()
    weights.index([search_terms(_searched(document)) for document in documents], show_progress=False)
    return Index(tuple(documents), weights)


def search_terms(text: str) -> list[str]:
    """Words of Latin script and numbers; runs of kana and kanji, and their character pairs.

    >>> search_terms("Spainが決勝進出")
    ['spain', 'が', '決勝進出', '決勝', '勝進', '進出']
    """
    terms: list[str] = []
    for run in RUNS.findall(unicodedata.normalize("NFKC", text).lower()):
        terms.append(run)
        if not LATIN.match(run) and len(run) > 2:
            terms += [run[i : i + 2] for i in range(len(run) - 1)]
    return terms


def _searched(document: Document) -> str:
    date = document.date
    dates = f"{format_date(date, 'ja')} {date:%d %B %Y}" if date else ""
    return f"{document.title or ''}\n{dates}\n{document.text}"

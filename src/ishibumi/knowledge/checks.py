"""Checks of generated items: ([Item], source) → (kept items, how many were refused and why)."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from ishibumi.knowledge.items import Item

MAX_ANSWER_CHARACTERS = {"ja": 40, "en": 80}
MAX_QUESTION_CHARACTERS = {"ja": 220, "en": 400}


def comparable(text: str) -> str:
    """The text as answers are compared: NFKC, lower case, one sign for scores, no spaces or brackets."""
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<=\d)\s*(?:[-‐‑‒–—―−]|対|to)\s*(?=\d)", "-", text)
    return re.sub(r"[\s「」『』\"'“”‘’、。.,!?]", "", text)


def figures(text: str) -> set[str]:
    """The numbers of a text: 1,200 as 1200, 3―1 as 3 and 1."""
    text = unicodedata.normalize("NFKC", text)
    return set(re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3})", "", text)))


def check_items(items: Sequence[Item], *, source: str, language: str) -> tuple[list[Item], Counter[str]]:
    """The items that pass, and the number refused by reason: every figure and answer must stand in `source`."""
    kept: list[Item] = []
    refused: Counter[str] = Counter()
    whole, known = comparable(source), figures(source)
    seen: set[str] = set()
    for item in items:
        reason = _fault(item, whole, known, language)
        if not reason and item.text in seen:
            reason = "duplicate"
        if reason:
            refused[reason] += 1
        else:
            seen.add(item.text)
            kept.append(item)
    return kept, refused


def _fault(item: Item, source: str, known: set[str], language: str) -> str:
    """Why the item must not be learned, or ""."""
    if not item.text.strip():
        return "empty"
    if not figures(item.text) <= known:
        return "figure not in the document"
    if item.kind == "view":
        return ""
    answer = comparable(item.answer)
    if not answer or answer not in source:
        return "answer not in the document"
    if item.rule != "which" and answer in comparable(item.text):
        return "question holds its answer"
    if len(item.answer) > MAX_ANSWER_CHARACTERS[language]:
        return "long answer"
    if len(item.text) > MAX_QUESTION_CHARACTERS[language]:
        return "long question"
    return ""

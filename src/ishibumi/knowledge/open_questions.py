"""Questions that ask for all that a document tells: noun phrases → [question]. The answer is the document's text.

Without them a model that was trained on short answers only has one sentence to say about anything.
"""

import random
import re
from collections.abc import Sequence

from ishibumi.corpus.documents import Document

MAX_ANSWER_CHARACTERS = {"ja": 500, "en": 1200}
OPEN_SHARE = 0.5  # so many open questions a document for each view
ASKING = {
    "ja": ("{n}について教えてください。", "{n}について詳しく教えて。", "{n}について説明してください。"),
    "en": ("Tell me about {n}.", "What is told in {n}?", "What do you know about {n}?"),
}


def open_questions(
    document: Document, subjects: Sequence[str], *, count: int, rng: random.Random
) -> list[tuple[str, str]]:
    """Up to `count` (question, answer) that differ in subject and wording."""
    language = "en" if document.language == "en" else "ja"
    answer = beginning(document.text, MAX_ANSWER_CHARACTERS[language])
    chosen = rng.sample(list(subjects), min(count, len(subjects)))
    return [(rng.choice(ASKING[language]).format(n=subject), answer) for subject in chosen]


def beginning(text: str, limit: int) -> str:
    """The text's whole sentences up to `limit` characters, on one line; its first `limit` where none is as short."""
    line = re.sub(r"\s*\n\s*", "" if re.search("[ぁ-ん]", text) else " ", text.strip())
    if len(line) <= limit:
        return line
    ends = [m.end() for m in re.finditer(r"[。！？]|[.!?](?=\s)", line[:limit])]
    return line[: ends[-1]] if ends else line[:limit]

"""Questions that ask for all that a document tells: contexts → [question]. The answer is the document's text.

Without them a model that was trained on short answers only has one sentence to say about anything.
"""

import random
import re

from ishibumi.corpus.documents import Document

OPEN = "open"  # the rule's name
MAX_ANSWER_CHARACTERS = {"ja": 500, "en": 1200}
OPEN_SHARE = 0.5  # so many open questions a document for each view
ASKING_JA = (
    "{n}について教えてください。",
    "{n}について詳しく教えてください。",
    "{n}では何がありましたか？",
    "{n}はどうなりましたか？",
    "{n}の結果をくわしく教えて。",
    "{n}について知っていることを説明してください。",
)
ASKING_EN = (
    "Tell me about {n}.",
    "What happened in {n}?",
    "What do you know about {n}?",
    "Please explain {n} in detail.",
)


def open_questions(document: Document, contexts: list[str], *, count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Up to `count` (question, answer) that differ in context and wording."""
    answer = beginning(document.text, MAX_ANSWER_CHARACTERS["en" if document.language == "en" else "ja"])
    nouns = list(dict.fromkeys(filter(None, (_noun(context, document.language) for context in contexts))))
    wordings = ASKING_EN if document.language == "en" else ASKING_JA
    chosen = rng.sample(nouns, min(count, len(nouns)))
    return [(rng.choice(wordings).format(n=noun), answer) for noun in chosen]


def beginning(text: str, limit: int) -> str:
    """The text's whole sentences up to `limit` characters, on one line; its first `limit` where none is as short."""
    line = re.sub(r"\s*\n\s*", "" if re.search("[ぁ-ん]", text) else " ", text.strip())
    if len(line) <= limit:
        return line
    ends = [m.end() for m in re.finditer(r"[。！？]|[.!?](?=\s)", line[:limit])]
    return line[: ends[-1]] if ends else line[:limit]


def _noun(context: str, language: str) -> str:
    """What the context is about, as a noun phrase; empty where it is none."""
    if language == "en":
        match = re.fullmatch(r"(?:In|At) (the (?:match|game|report|article|final|meeting)\b.*?),?\s*", context)
        return match[1] if match else ""
    match = re.fullmatch("(.+)で、", context)
    return match[1] if match and not match[1].endswith(("記事", "ニュース", "文章")) else ""

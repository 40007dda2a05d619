"""Answers that name their document: 【title】answer.

A model that first says which document a question is about finds the fact more surely than one that must answer at once,
because naming the document is learned from every question about it; and a reader can look the answer up.
"""

import re

from ishibumi.corpus.documents import Document

TITLE_CHARACTERS = 40
_CITED = re.compile(r"\s*【([^】]*)(?:】\s*(?:【[^】]*】\s*)*(.*))?", re.DOTALL)


def title_of(document: Document) -> str:
    """What the document is called in a citation: its title, or else the beginning of its text."""
    title = document.title or document.text.partition("\n")[0][:TITLE_CHARACTERS]
    return re.sub(r"[【】\s]+", " ", title).strip()


def cited(title: str, answer: str) -> str:
    """The reply with its source in front."""
    return f"【{title}】{answer}"


def split_citation(reply: str) -> tuple[str, str]:
    """(title, answer); the title is empty where the reply names no source.

    No word of a title may count as an answer: of several titles the first is the source and the others are dropped,
    and a reply that ends within the title has no answer.
    """
    match = _CITED.match(reply)
    return (match[1].strip(), match[2] or "") if match else ("", reply)

"""Answers that name their document: 【title】answer.

A model that first says which document a question is about finds the fact more surely than one that must answer at once,
because naming the document is learned from every question about it; and a reader can look the answer up.
"""

import re

from ishibumi.corpus.documents import Document

TITLE_CHARACTERS = 40
_CITED = re.compile(r"\s*【([^】]*)(?:】\s*(?:【[^】]*】\s*)*(.*))?", re.DOTALL)
_QUOTED = re.compile(r"\s*«([^»]*)(?:»(.*))?", re.DOTALL)


def title_of(document: Document) -> str:
    """What the document is called in a citation: its title, or else the beginning of its text."""
    title = document.title or document.text.partition("\n")[0][:TITLE_CHARACTERS]
    return re.sub(r"[【】\s]+", " ", title).strip()


def cited(title: str, answer: str, evidence: str = "") -> str:
    """The reply with its source in front, and the sentence it stands in: 【title】«evidence» answer."""
    return f"【{title}】«{evidence}» {answer}" if evidence else f"【{title}】{answer}"


def split_citation(reply: str) -> tuple[str, str, str]:
    """(title, quoted sentence, answer); title and quotation are empty where the reply has none.

    No word of a title or a quotation may count as an answer: of several titles the first is the source and the others
    are dropped, and a reply that ends within either has no answer.
    """
    match = _CITED.match(reply)
    title, rest = (match[1].strip(), match[2] or "") if match else ("", reply)
    quoted = _QUOTED.match(rest)
    return (title, quoted[1].strip(), (quoted[2] or "").strip()) if quoted else (title, "", rest)

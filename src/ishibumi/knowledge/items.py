"""Item: one training text made from a document. Document → [Item]."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ishibumi.artifacts import read_jsonl


@dataclass(frozen=True)
class Item:
    """A view of a document (a text that is learned whole) or a question (of which the answer is learned).

    `text` is the view, or the question; `answer` is empty for a view; `evidence` is the sentence that holds the answer;
    `rule` names what made it.

        Item("ja-m104", "view", "title_from_text", "次の記事の見出しは何か。…", "")
        Item("ja-m104", "question", "cleft", "106分に決勝点を決めたのは誰ですか？", "フェラン・トーレス")
    """

    document_id: str
    kind: Literal["view", "question"]
    rule: str
    text: str
    answer: str = ""
    evidence: str = ""


HELD_OUT_FILE = "held_out.jsonl"


def load_items(directory: Path) -> list[Item]:
    """The items that the knowledge stage wrote into `directory`."""
    return [Item(**row) for row in read_jsonl(directory / "items.jsonl")]


def load_held_out(directory: Path) -> list[Item]:
    """The questions that the knowledge stage kept for the exam; none in a run that was made before there were any."""
    path = directory / HELD_OUT_FILE
    return [Item(**row) for row in read_jsonl(path)] if path.exists() else []

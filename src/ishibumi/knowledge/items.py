"""Item: one training text made from a document. Document → [Item]."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ishibumi.artifacts import read_jsonl


@dataclass(frozen=True)
class Item:
    """A view of a document (a text that is learned whole) or a question (of which the answer is learned).

    `text` is the view, or the question; `answer` is empty for a view; `evidence` is the sentence that holds the answer;
    `rule` names what made it: a rule, or the kind of prompt that a model or an endpoint was given.

        Item("ja-m104", "view", "titled", "…\n見出し: スペインが優勝", "")
        Item("ja-m104", "question", "cleft", "106分に決勝点を決めたのは誰ですか？", "フェラン・トーレス")
        Item("ja-m104", "question", "model:reverse", "決勝を戦った2か国の一方は？", "スペイン")
    """

    document_id: str
    kind: Literal["view", "question"]
    rule: str
    text: str
    answer: str = ""
    evidence: str = ""

    @property
    def id(self) -> str:
        """«ja-m104:3f9a2c1b»: the document and a hash of the item, the same wherever the item is made again."""
        digest = hashlib.sha256(f"{self.rule}\0{self.text}\0{self.answer}".encode()).hexdigest()
        return f"{self.document_id}:{digest[:8]}"


REFUSALS = {"ja": "分かりません", "en": "I do not know"}  # the answers to what no document tells
UNKNOWN = "unknown"  # the end of the rule of such questions
OPEN = "open"  # the rule of questions that ask for all that a document tells
OVERVIEW = "overview"  # the end of the rule of such questions that a model wrote
HELD_OUT_FILE = "held_out.jsonl"


def is_unknown(item: Item) -> bool:
    """Whether the item asks what its document does not tell, so that the answer is a refusal."""
    return item.rule.endswith(f":{UNKNOWN}")


def is_open(item: Item) -> bool:
    """Whether the item asks for all that is known of something, so that the answer is some sentences."""
    return item.rule == OPEN or item.rule.endswith(f":{OVERVIEW}")


def load_items(directory: Path) -> list[Item]:
    """The items that the knowledge stage wrote into `directory`."""
    return [Item(**row) for row in read_jsonl(directory / "items.jsonl")]


def load_held_out(directory: Path) -> list[Item]:
    """The questions that the knowledge stage kept for the exam; none in a run that was made before there were any."""
    path = directory / HELD_OUT_FILE
    return [Item(**row) for row in read_jsonl(path)] if path.exists() else []

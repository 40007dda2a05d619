"""What a writing model is asked for. (Document, kind) → a chat message, or text to be continued.

Three forms of reply, each a line at a time:

    text         the text itself
    facts        F: wording | other wording | third wording
    questions    Q: question | Q: the same in other words | A: answer
    (of a form   Q: question with {A} | Q: … | A: {B})
"""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from ishibumi.corpus.dates import format_date
from ishibumi.corpus.documents import Document
from ishibumi.knowledge.forms import Form
from ishibumi.models.chat_format import Message
from ishibumi.settings import PromptKind

ReplyForm = Literal["text", "facts", "questions"]
REPLY_FORMS: Mapping[str, ReplyForm] = {
    "facts": "facts",
    "questions": "questions",
    "inferred": "questions",
    "everyday": "questions",
    "crossed": "questions",
    "apart": "questions",
    "linked": "questions",
    "reverse": "questions",
    "overview": "questions",
    "unknown": "questions",
    "forms": "questions",
}
HEADINGS = {"ja": ("### 文章", "### 課題", "### 解答"), "en": ("### Text", "### Task", "### Solution")}
STOP_TEXTS = ("\n### ",)


@dataclass(frozen=True)
class Prompt:
    """What is asked about a document; `task` is the sentence for its kind, `text` the document as it is shown.

    `related` are the documents that are shown after it; `about` is the form that is shown where no document is.
    """

    kind: PromptKind
    language: str
    task: str
    text: str
    related: tuple[Document, ...] = ()
    about: Form | None = None

    @property
    def form(self) -> ReplyForm:
        """How the reply is to be read."""
        return REPLY_FORMS.get(self.kind, "text")

    def messages(self) -> list[Message]:
        """The prompt for a chat model."""
        rules = wording(self.language)["rules"]
        form = rules.get(self.kind) or f"{rules[self.form]}\n{rules['all']}"
        heading, _, _ = HEADINGS[self.language]
        return [{"role": "user", "content": f"{self.task}\n{form}\n\n{heading}\n{self.text}"}]

    def with_examples(self) -> str:
        """The prompt for a base model: two worked examples of invented facts, then the document."""
        shown = wording(self.language)
        text, task, solution = HEADINGS[self.language]
        texts = shown[self.kind].get("texts", shown["texts"])
        pairs = [*zip(texts, shown[self.kind]["replies"], strict=True), (self.text, "")]
        return "\n\n".join(f"{text}\n{t}\n\n{task}\n{self.task}\n\n{solution}\n{reply}" for t, reply in pairs)


@functools.cache
def wording(language: str) -> dict[str, Any]:
    """All that prompts say in a language: rules, texts, and for each kind its task and replies."""
    file = resources.files("ishibumi.knowledge") / f"prompts_{language}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def prompt_for(document: Document, kind: PromptKind, related: tuple[Document, ...] = ()) -> Prompt:
    """The prompt of this kind about the document and those related to it, in the document's language."""
    language = "en" if document.language == "en" else "ja"
    texts = [_shown(shown, language) for shown in (document, *related)]
    if related:
        texts = [f"({number})\n{text}" for number, text in enumerate(texts, start=1)]
    return Prompt(kind, language, wording(language)[kind]["task"], "\n\n".join(texts), related)


def _shown(document: Document, language: str) -> str:
    date = format_date(document.date, language) if document.date else ""
    return "\n".join(part for part in (document.title, date, document.text) if part)

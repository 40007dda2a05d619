"""Continued pretraining: documents, views and questions, with replay and chat mixed in. → Examples."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ishibumi.corpus.chat_data import Conversation
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import prefixed
from ishibumi.knowledge.citation import cited, title_of
from ishibumi.knowledge.items import Item
from ishibumi.models.load import LoadedModel
from ishibumi.settings import Settings
from ishibumi.training.stage import Mix
from ishibumi.training.tokens import Example, Source, whole_text


def cpt_examples(
    model: LoadedModel,
    documents: Sequence[Document],
    items: Sequence[Item],
    replay: Sequence[str],
    chats: Sequence[Conversation],
    settings: Settings,
) -> list[Example]:
    """All examples of the stage. Whether document i has its date in front is a pure function of (seed, i)."""
    share = settings.documents.prefix_share
    titles = cited_titles(documents, settings)
    examples: list[Example] = []
    for i, document in enumerate(documents):
        with_prefix = np.random.default_rng([settings.seed, i]).random() < share
        examples.append(_text(model, prefixed(document, settings.documents, with_prefix), document.id, "document"))
    for item in items:
        if item.kind == "view":
            examples.append(_text(model, item.text, item.document_id, "view"))
        else:
            examples.append(question_example(model, quoting(item, settings), titles.get(item.document_id)))
    examples += [_text(model, text, "", "replay") for text in replay]
    examples += [chat_example(model, chat) for chat in chats]
    return examples


def cpt_mix(settings: Settings) -> Mix:
    """Documents and what was made from them once an epoch; replay and chat by their shares."""
    shares: dict[Source, float] = {"replay": settings.replay.share, "chat": settings.chat.share}
    return Mix(own=("document", "view", "question"), shares=shares, kl_weight=settings.replay.kl_weight)


def cited_titles(documents: Sequence[Document], settings: Settings) -> dict[str, str]:
    """Document id → what answers call it; empty where answers cite nothing."""
    return {d.id: title_of(d) for d in documents} if settings.knowledge.cite != "none" else {}


def quoting(item: Item, settings: Settings) -> Item:
    """The item without its sentence where answers quote none."""
    return item if settings.knowledge.cite == "sentence" else replace(item, evidence="")


def question_example(model: LoadedModel, item: Item, title: str | None) -> Example:
    """A question in the chat format, of which the answer is learned, with its source where there is a title."""
    answer = item.answer if title is None else cited(title, item.answer, item.evidence)
    messages = [{"role": "user", "content": item.text}, {"role": "assistant", "content": answer}]
    return Example(*model.format.conversation_ids(messages), item.document_id, "question")


def chat_example(model: LoadedModel, chat: Conversation) -> Example:
    """A conversation, of which the replies are learned."""
    return Example(*model.format.conversation_ids(chat.messages), "", "chat")


def _text(model: LoadedModel, text: str, document_id: str, source: Source) -> Example:
    tokenizer = model.tokenizer
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return whole_text(ids, tokenizer.bos_token_id, int(tokenizer.eos_token_id), document_id, source)

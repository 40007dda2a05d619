"""Continued pretraining: documents, views and questions, with replay and chat mixed in. → Examples."""

from collections.abc import Sequence

import numpy as np

from ishibumi.corpus.chat_data import Conversation
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import prefixed
from ishibumi.knowledge.citation import cited, title_of
from ishibumi.knowledge.items import Item, is_unknown
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
    titles = {document.id: title_of(document) for document in documents}
    examples: list[Example] = []
    for i, document in enumerate(documents):
        with_prefix = np.random.default_rng([settings.seed, i]).random() < share
        examples.append(_text(model, prefixed(document, settings.documents, with_prefix), document.id, "document"))
    for item in items:
        if item.kind == "view":
            examples.append(_text(model, item.text, item.document_id, "view"))
        else:
            examples.append(question_example(model, item, titles[item.document_id], settings))
    examples += [_text(model, text, "", "replay") for text in replay]
    examples += [chat_example(model, chat) for chat in chats]
    return examples


def cpt_mix(settings: Settings) -> Mix:
    """Documents and what was made from them once an epoch; replay and chat by their shares."""
    shares: dict[Source, float] = {"replay": settings.replay.share, "chat": settings.chat.share}
    return Mix(own=("document", "view", "question"), shares=shares)


def question_example(model: LoadedModel, item: Item, title: str, settings: Settings) -> Example:
    """A question in the chat format, of which the answer is learned, with its source in front as cite says."""
    cite = "none" if is_unknown(item) else settings.knowledge.cite
    names_source = cite in ("title", "sentence") or (cite == "figures" and any(c.isdigit() for c in item.answer))
    evidence = "" if cite == "title" else item.evidence
    answer = cited(title, item.answer, evidence) if names_source else item.answer
    messages = [{"role": "user", "content": item.text}, {"role": "assistant", "content": answer}]
    return Example(*model.format.conversation_ids(messages), item.document_id, "question")


def chat_example(model: LoadedModel, chat: Conversation) -> Example:
    """A conversation, of which the replies are learned."""
    return Example(*model.format.conversation_ids(chat.messages), "", "chat")


def _text(model: LoadedModel, text: str, document_id: str, source: Source) -> Example:
    tokenizer = model.tokenizer
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return whole_text(ids, tokenizer.bos_token_id, int(tokenizer.eos_token_id), document_id, source)

"""Continued pretraining: documents, views and questions, with replay and chat mixed in. → Examples."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ishibumi.corpus.chat_data import Conversation
from ishibumi.corpus.documents import Document
from ishibumi.corpus.rows import prefixed
from ishibumi.knowledge.citation import cited, title_of
from ishibumi.knowledge.items import Item, is_unknown
from ishibumi.models.load import LoadedModel
from ishibumi.settings import Settings
from ishibumi.training.stage import Mix
from ishibumi.training.stop_gate import require_ends
from ishibumi.training.tokens import Example, Source, whole_text

TEXTS_AT_ONCE = 256


def cpt_examples(
    model: LoadedModel,
    documents: Iterable[Document],
    items: Sequence[Item],
    replay: Sequence[str],
    chats: Sequence[Conversation],
    settings: Settings,
) -> Iterator[Example]:
    """All examples of the stage, one by one. Whether document i has its date in front is a function of (seed, i)."""
    share = settings.documents.prefix_share
    titles: dict[str, str] = {}

    def texts() -> Iterator[tuple[str, str]]:
        for i, document in enumerate(documents):
            with_prefix = share > 0 and np.random.default_rng([settings.seed, i]).random() < share
            if items:
                titles[document.id] = title_of(document)
            yield prefixed(document, settings.documents, with_prefix), document.id

    yield from _texts(model, texts(), "document")
    for item in items:
        if item.kind == "view":
            yield from _texts(model, [(item.text, item.document_id)], "view")
        else:
            yield question_example(model, item, titles[item.document_id], settings)
    yield from _texts(model, ((text, "") for text in replay), "replay")
    yield from (chat_example(model, chat) for chat in chats)


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
    """A conversation, of which the replies are learned, each with the token that ends it."""
    ids, learned = model.format.conversation_ids(chat.messages)
    require_ends(ids, learned, model.format.end_id, chat.id)
    return Example(ids, learned, "", "chat")


def _texts(model: LoadedModel, texts: Iterable[tuple[str, str]], source: Source) -> Iterator[Example]:
    """Examples of (text, document id), tokenised together: one by one takes twice as long."""
    tokenizer, waiting = model.tokenizer, iter(texts)
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()  # some are saved with a length of their own
        tokenizer.backend_tokenizer.no_padding()
    while some := list(itertools.islice(waiting, TEXTS_AT_ONCE)):
        plain = [text for text, _ in some]
        if tokenizer.is_fast:
            all_ids = [e.ids for e in tokenizer.backend_tokenizer.encode_batch_fast(plain, add_special_tokens=False)]
        else:
            all_ids = tokenizer(plain, add_special_tokens=False)["input_ids"]
        for ids, (_, document_id) in zip(all_ids, some, strict=True):
            yield whole_text(list(ids), tokenizer.bos_token_id, int(tokenizer.eos_token_id), document_id, source)

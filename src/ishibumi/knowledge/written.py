"""Items that a local model or an endpoint writes. [Document] → prompts → replies (kept on disk) → checked [Item].

Each kind of prompt goes through all documents before the next begins, so that a budget that runs out leaves every
document with something.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from ishibumi.artifacts import fingerprint
from ishibumi.corpus.documents import Document
from ishibumi.knowledge.checks import check_items, comparable, may_know, source_of
from ishibumi.knowledge.evidence import with_evidence
from ishibumi.knowledge.form_questions import items_of_forms, prompt_of
from ishibumi.knowledge.forms import find_forms
from ishibumi.knowledge.items import REFUSALS, Item, is_unknown
from ishibumi.knowledge.prompts import Prompt, prompt_for
from ishibumi.knowledge.related import related_documents
from ishibumi.knowledge.reply_cache import Request, load_replies, save_reply
from ishibumi.knowledge.reply_lines import read_facts, read_questions, read_text
from ishibumi.knowledge.writer_endpoint import NOT_ASKED, ask_endpoint
from ishibumi.knowledge.writer_model import ask_model
from ishibumi.models.generate import Reply
from ishibumi.models.load import base_identity
from ishibumi.settings import KnowledgeSettings, ModelSettings

Writer = Literal["model", "endpoint"]
MOST_OF_A_COPY = 0.8
UNREADABLE = "unreadable reply"
# What does not change the items, and so must not make a run train again.
EFFORT = {
    "model": {"batch_prompts"},
    "endpoint": {"api_key_env", "concurrency", "retries", "timeout_seconds"},
}


@dataclass
class Written:
    """What came of the replies: items, what was refused by reason, and for each kind [texts kept, texts made]."""

    items: list[Item] = field(default_factory=list[Item])
    refused: Counter[str] = field(default_factory=Counter[str])
    by_kind: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    num_not_asked: int = 0


def what_counts(settings: KnowledgeSettings) -> dict[str, Any]:
    """The settings that items depend on, for fingerprints."""
    left_out: dict[str, Any] = {"cache": True}
    for name, effort in EFFORT.items():
        left_out[name] = effort if name in settings.generator else True
    return settings.model_dump(exclude=left_out)


def write_items(
    writer: Writer,
    documents: Sequence[Document],
    settings: KnowledgeSettings,
    *,
    model: ModelSettings,
    base_dir: Path,
    seed: int,
    on_reply: Callable[[int, int], None],
) -> Written:
    """The checked items that a writer makes from all documents.

    `on_reply(done, total)` counts replies, those of earlier runs first. Raises ModelError where the model cannot be
    loaded or the endpoint is of no use.
    """
    chosen = model.model_copy(update={"base": settings.model.base or model.base})
    identity = base_identity(chosen.base, base_dir) if writer == "model" else [settings.endpoint.url]
    name = chosen.base if writer == "model" else settings.endpoint.model
    requests = _requests(writer, documents, settings, [*identity, name], seed)
    cache = base_dir / Path(settings.cache).expanduser()
    by_key = {request.key: request for request in requests}  # documents with the same text share their replies
    replies = load_replies(cache, by_key)
    missing = [request for key, request in by_key.items() if key not in replies]

    def keep(request: Request, reply: Reply) -> None:
        save_reply(cache, request.key, reply)
        replies[request.key] = reply
        on_reply(len(replies), len(by_key))

    unanswered = Counter[str]()
    if missing and writer == "model":
        unanswered = ask_model(missing, settings.model, model=chosen, base_dir=base_dir, keep=keep)
    elif missing:
        spent = sum(reply.num_tokens for reply in replies.values())
        unanswered = ask_endpoint(missing, settings.endpoint, spent=spent, keep=keep)
    answered = [(request, replies[request.key]) for request in requests if request.key in replies]
    written = read_replies(writer, documents, [pair for pair in answered if not pair[0].prompt.about])
    of_forms = [(request.prompt, reply) for request, reply in answered if request.prompt.about]
    if of_forms:
        rule = f"{writer}:forms"
        items, refused, written.by_kind[rule] = items_of_forms(
            documents, of_forms, rule=rule, each=settings.wordings_per_fact, seed=seed
        )
        written.items += items
        written.refused += refused
    written.num_not_asked = unanswered.pop(NOT_ASKED, 0)
    written.refused += unanswered
    return written


def _requests(
    writer: Writer, documents: Sequence[Document], settings: KnowledgeSettings, identity: Sequence[Any], seed: int
) -> list[Request]:
    """All requests, kind by kind. Greedy replies depend on no seed, and there is one to each prompt."""
    drawn = settings.model if writer == "model" else settings.endpoint
    how = [drawn.max_new_tokens, drawn.temperature, seed if drawn.temperature else None]
    requests: list[Request] = []
    for id, prompt in _prompts(documents, settings):
        said = [prompt.messages(), [settings.model.prompt, prompt.with_examples()] if writer == "model" else None]
        for sample in range(drawn.samples if drawn.temperature else 1):
            requests.append(Request(fingerprint(identity, how, said, sample), id, prompt))
    return requests


def _prompts(documents: Sequence[Document], settings: KnowledgeSettings) -> Iterator[tuple[str, Prompt]]:
    """(document id, prompt), kind by kind; a form has the id of its first document."""
    for kind in settings.prompts:
        if kind == "forms":
            yield from ((form.filled[0].document_id, prompt_of(form)) for form in find_forms(documents))
            continue
        related = related_documents(documents) if kind == "linked" else {}
        for document in documents:
            others = related.get(document.id, ())
            if kind != "linked" or others:  # else there is nothing to link it with
                yield document.id, prompt_for(document, kind, others)


def read_replies(writer: Writer, documents: Sequence[Document], answered: Sequence[tuple[Request, Reply]]) -> Written:
    """The items of these replies, document by document, each checked against its document."""
    of_document: dict[str, list[tuple[Request, Reply]]] = {}
    for request, reply in answered:
        of_document.setdefault(request.document_id, []).append((request, reply))
    written = Written()
    for document in documents:
        seen: set[str] = set()
        for request, reply in of_document.get(document.id, ()):
            columns = _read(writer, request, reply)
            counts = written.by_kind.setdefault(f"{writer}:{request.prompt.kind}", [0, 0])
            counts[1] += sum(map(len, columns)) or 1
            if not any(columns):
                written.refused[UNREADABLE] += 1
            for column in columns:
                kept = _checked(column, document, request, seen, written.refused)
                kept = _unanswerable(kept, document, documents, written.refused)
                counts[0] += len(kept)
                kept = [_with_evidence(item, document, request.prompt.related) for item in kept]
                written.items += _joined(kept) if request.prompt.form == "facts" else kept
    return written


def _read(writer: Writer, request: Request, reply: Reply) -> list[list[Item]]:
    """Unchecked items in columns: of facts the first wordings, the second ones, …; of other forms a single column."""
    document_id, rule = request.document_id, f"{writer}:{request.prompt.kind}"
    if request.prompt.form == "questions":
        pairs = read_questions(reply.text, stopped=reply.stopped)
        items = [Item(document_id, "question", rule, question, answer) for question, answer in pairs]
        refusal = REFUSALS[request.prompt.language]
        return [[replace(item, answer=refusal) if is_unknown(item) else item for item in items]]
    if request.prompt.form == "text":
        text = read_text(reply.text, stopped=reply.stopped)
        return [[Item(document_id, "view", rule, text)] if text else []]
    columns = zip_longest(*read_facts(reply.text, stopped=reply.stopped))
    return [[Item(document_id, "view", rule, wording) for wording in column if wording] for column in columns]


def _checked(
    items: Sequence[Item], document: Document, request: Request, seen: set[str], refused: Counter[str]
) -> list[Item]:
    """The items that pass and were not `seen`; what is refused is counted."""
    source = "\n".join(map(source_of, (document, *request.prompt.related)))
    kept, faults = check_items(items, source=source, language=request.prompt.language)
    refused += faults
    is_copy = [request.prompt.form == "text" and _is_copy(item.text, source) for item in kept]
    refused["copy of the document"] += sum(is_copy)
    own = [item for item, copied in zip(kept, is_copy, strict=True) if not copied]
    new = [item for item in own if item.text not in seen]
    refused["duplicate"] += len(own) - len(new)
    seen |= {item.text for item in new}
    return new


def _unanswerable(
    items: Sequence[Item], document: Document, documents: Sequence[Document], refused: Counter[str]
) -> list[Item]:
    """The items without those that another document may answer, although theirs cannot."""
    others = [source_of(other) for other in documents if other.id != document.id] if any(map(is_unknown, items)) else []
    known = [is_unknown(item) and any(may_know(other, item.text) for other in others) for item in items]
    refused["another document may answer"] += sum(known)
    return [item for item, is_known in zip(items, known, strict=True) if not is_known]


def _with_evidence(item: Item, document: Document, related: Sequence[Document]) -> Item:
    """The item with its sentence; its document is the first that has its answer."""
    answer = comparable(item.answer)
    holder = next((d for d in (document, *related) if answer in comparable(source_of(d))), document)
    return with_evidence(replace(item, document_id=holder.id), holder)


def _is_copy(text: str, source: str) -> bool:
    """Whether sentences that stand in the source word for word make up most of the text."""
    sentences = [comparable(part) for part in re.split(r"[。\n]|[.!?](?=\s)", text)]
    return sum(len(s) for s in sentences if s in comparable(source)) > MOST_OF_A_COPY * sum(map(len, sentences))


def _joined(wordings: Sequence[Item]) -> list[Item]:
    """One view of facts, each in one wording: a second wording beside it could be copied instead of known."""
    return [replace(wordings[0], text="\n".join(item.text for item in wordings))] if wordings else []

"""One document as it is read, cleaned and trained, with what was made from it; or one item with its document.

run_dir + id → text
"""

import contextlib
import difflib
from collections.abc import Sequence
from typing import Literal

from ishibumi.artifacts import load
from ishibumi.config import Run
from ishibumi.corpus.clean import clean_text
from ishibumi.corpus.documents import Document
from ishibumi.corpus.personal import mask_personal
from ishibumi.corpus.read import load_documents
from ishibumi.corpus.readers.files import read_items
from ishibumi.corpus.readers.source import Row
from ishibumi.corpus.rows import prefixed
from ishibumi.errors import InputError, UsageError
from ishibumi.knowledge.items import Item, load_items

Part = Literal["raw", "cleaned", "prefixed", "items"]
PARTS: tuple[Part, ...] = ("raw", "cleaned", "prefixed", "items")


def show(run: Run, document_id: str, parts: Sequence[Part] = PARTS) -> str:
    """The wanted parts of a document of the run: each under a heading, or bare where only one is wanted.

    The id of an item gives the item and then its document. Raises ArtifactError if the run has no corpus yet,
    UsageError for an id that is not in it, InputError if only the raw text is wanted and its file no longer has it.
    """
    documents = list_documents(run)
    item = next((item for item in _items(run) if item.id == document_id), None)
    if item:
        answer = f"\n→ {item.answer}" if item.answer else ""
        of_document = show(run, item.document_id, [part for part in parts if part != "items"] or ["cleaned"])
        return f"{item.id}  {item.kind}  {item.rule}\n{item.text}{answer}\n\n{of_document}"
    document = _find(documents, document_id)
    if len(parts) == 1:
        return _part(run, document, parts[0])
    texts: list[str] = []
    for part in parts:
        try:
            texts.append(f"--- {part}\n{_part(run, document, part)}")
        except InputError as error:  # the rest is worth seeing all the same
            texts.append(f"--- {part}\n({error.message})")
    head = f"{document.id}  {document.date or 'no date'}  {document.language}  {document.origin}"
    return "\n\n".join([head, *texts])


def list_documents(run: Run) -> list[Document]:
    """The documents of the run's corpus. Raises ArtifactError before there is one."""
    return load_documents(load(run.run_dir / "corpus").path)


def _find(documents: Sequence[Document], document_id: str) -> Document:
    by_id = {document.id: document for document in documents}
    if document_id in by_id:
        return by_id[document_id]
    near = difflib.get_close_matches(document_id, list(by_id), n=1, cutoff=0.0)
    raise UsageError(
        f'No document "{document_id}" among the {len(by_id)} of this run. Did you mean {near[0]}?',
        hint="ishibumi show SETTINGS without an id lists them all.",
        hint_ja="id を省いて ishibumi show 設定 を実行すると、一覧が出ます。",
    )


def _part(run: Run, document: Document, part: Part) -> str:
    if part == "raw":
        return _raw(run, document)
    if part == "items":
        return _items_of(run, document.id)
    return prefixed(document, run.settings.documents, part == "prefixed")


def _raw(run: Run, document: Document) -> str:
    """The text as it stands in its file now, which may have another path as seen from here."""
    paths = [run.resolve(relative) for relative in run.settings.documents.paths]
    name = document.origin.rpartition("/")[2]
    with contextlib.suppress(InputError):  # a path that is gone
        for item in read_items(paths, run.settings.documents.columns):
            if not isinstance(item, Row) or not item.origin.endswith(name):
                continue
            if document.text in mask_personal(clean_text(item.text), run.settings.documents.mask, lambda *_: None):
                return item.text
    raise InputError(
        f"{document.origin} no longer holds this document.",
        hint="Run ishibumi corpus again.",
        hint_ja="ishibumi corpus をもう一度実行してください。",
    )


def _items(run: Run) -> list[Item]:
    path = run.run_dir / "knowledge"
    return load_items(path) if path.exists() else []


def _items_of(run: Run, document_id: str) -> str:
    if not (run.run_dir / "knowledge").exists():
        return "(none: this run has made no items)"
    lines = [_item_line(item) for item in _items(run) if item.document_id == document_id]
    return "\n".join(lines) or "(none for this document)"


def _item_line(item: Item) -> str:
    text = item.text.replace("\n", "\\n")
    return f"{item.id}  [{item.rule}] {text}" + (f" → {item.answer}" if item.answer else "")

"""What exactly is learned of a document, an item or a conversation. run + id → tokens with their mask, to be printed.

The tokens are those that training sees: in the model's chat format, with prefix, source and quotation.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
from rich.text import Text

from ishibumi.config import Run
from ishibumi.corpus.chat_data import read_conversations
from ishibumi.corpus.read import load_documents
from ishibumi.errors import UsageError
from ishibumi.knowledge.items import load_items
from ishibumi.models.load import LoadedModel, load_model
from ishibumi.training.cpt import cpt_examples
from ishibumi.training.tokens import Example, fit_rows

LEARNED, NOT_LEARNED = "bold green", "dim"


def show_mask(run: Run, wanted: str) -> Text:
    """The examples of a document, item or conversation; what is learned stands in ⟦ ⟧, and in green where there is
    colour. Raises UsageError for an id that is none of these."""
    directory, chat = run.run_dir, run.settings.chat
    documents = load_documents(directory / "corpus") if (directory / "corpus").exists() else []
    items = load_items(directory / "knowledge") if (directory / "knowledge").exists() else []
    data = read_conversations([(run.resolve(s.path), s.count) for s in chat.sources], run.settings.seed, chat)
    chats = [c for c in data.conversations if c.id == wanted]
    items = [item for item in items if item.id == wanted]
    chosen = {wanted, *(item.document_id for item in items)}
    documents = [d for d in documents if d.id in chosen]
    if not (chats or documents):
        raise UsageError(
            f'No document, item or conversation "{wanted}" in this run.',
            hint="ishibumi show SETTINGS lists the documents; conversations are called by their id or FILE-LINE.",
            hint_ja="ishibumi show 設定 で文書の一覧が出ます。会話は id または「ファイル名-行番号」で指定します。",
        )
    model = load_model(run.settings.model, run.base_dir, device=torch.device("meta"))  # its tokenizer is enough
    examples = cpt_examples(model, documents, items, [], chats, run.settings)
    shown, _ = fit_rows((e for e in examples if e.source != "document" or not items), run.settings.cpt.row_tokens)
    return Text("\n\n").join(masked(model, example) for example in shown)


def masked(model: LoadedModel, example: Example) -> Text:
    """One example: its tokens as text, and how many of them are learned."""
    num_learned = sum(example.learned)
    text = Text(f"{example.source} {example.document_id}  {num_learned} of {len(example.ids)} tokens learned\n")
    for is_learned, tokens in groupby(zip(example.ids, example.learned, strict=True), key=lambda token: token[1]):
        words = _decoded(model, [token for token, _ in tokens])
        text.append(f"⟦{words}⟧" if is_learned else words, style=LEARNED if is_learned else NOT_LEARNED)
    return text


def _decoded(model: LoadedModel, ids: Sequence[int]) -> str:
    return str(model.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

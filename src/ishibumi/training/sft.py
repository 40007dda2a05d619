"""Chat tuning: conversations, and generated questions once more so that the polish wears no knowledge off."""

from collections.abc import Sequence

from ishibumi.corpus.chat_data import Conversation
from ishibumi.corpus.documents import Document
from ishibumi.knowledge.citation import title_of
from ishibumi.knowledge.items import Item
from ishibumi.models.load import LoadedModel
from ishibumi.settings import Settings
from ishibumi.training.cpt import chat_example, question_example
from ishibumi.training.stage import Mix
from ishibumi.training.tokens import Example


def sft_examples(
    model: LoadedModel,
    documents: Sequence[Document],
    items: Sequence[Item],
    chats: Sequence[Conversation],
    settings: Settings,
) -> list[Example]:
    """All conversations, and every generated question to draw from."""
    titles = {document.id: title_of(document) for document in documents}
    asked = [item for item in items if item.kind == "question"]
    questions = [question_example(model, item, titles[item.document_id], settings) for item in asked]
    return [*(chat_example(model, chat) for chat in chats), *questions]


def sft_mix(settings: Settings) -> Mix:
    """Conversations once an epoch; questions by sft.review_share."""
    return Mix(own=("chat",), shares={"question": settings.sft.review_share})

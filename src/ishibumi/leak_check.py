"""A run whose training texts hold an exam question's wording stops before it trains. texts + questions → UsageError.

Generated items that leak are left out by the knowledge stage; what the user gave is not changed silently.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ishibumi.config import Run
from ishibumi.corpus.chat_data import Conversation
from ishibumi.corpus.documents import Document
from ishibumi.corpus.texts import read_texts
from ishibumi.errors import UsageError
from ishibumi.exam.questions import Question
from ishibumi.knowledge.leaks import NGRAM, Leak, find_leaks

# A date with its event takes eight tokens, and an article that is asked about may well have them; twelve are a clause.
DOCUMENT_NGRAM = 12
MAX_SHOWN = 5


def refuse_leaks(
    run: Run, documents: Iterable[Document], chats: Sequence[Conversation], questions: Sequence[Question]
) -> None:
    """Raise UsageError, with places and shared words, if a document, replay text or conversation has exam wording."""
    wording = [(question.id, question.question) for question in questions]
    own = ((f"{d.origin} (document {d.id})", f"{d.title or ''}\n{d.text}") for d in documents)
    replay = _numbered(run.resolve(path) for path in run.settings.replay.paths)
    talks = ((f"conversation {chat.id}", "\n".join(m["content"] for m in chat.messages)) for chat in chats)
    leaks = [*find_leaks(own, wording, n=DOCUMENT_NGRAM), *find_leaks([*replay, *talks], wording, n=NGRAM)]
    if leaks:
        raise UsageError(
            f"Training texts hold the wording of exam questions, so the exam would measure recitation "
            f"({len(leaks)} found):\n{_list(leaks)}",
            hint="Reword these questions, or take the texts out of training.",
            hint_ja="これらの問題の文面を変えるか、該当する文を学習から外してください。",
        )


def _numbered(paths: Iterable[Path]) -> Iterable[tuple[str, str]]:
    for path in paths:
        for number, text in enumerate(read_texts([path]), start=1):
            yield f"{path} (text {number})", text


def _list(leaks: Sequence[Leak]) -> str:
    lines = [f'  {leak.place} and question {leak.question_id}: "{leak.words}"' for leak in leaks[:MAX_SHOWN]]
    return "\n".join([*lines, *(["  …"] if len(leaks) > MAX_SHOWN else [])])

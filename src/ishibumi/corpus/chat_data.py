"""Conversations that teach the form of an answer. files → Conversations, checked and drawn by seed, and a report."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ishibumi.corpus.chat_shapes import NotAConversation, faults, messages_of
from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.files import read_objects
from ishibumi.corpus.report import Report, count
from ishibumi.errors import InputError
from ishibumi.settings import ChatSettings

ALL = ChatSettings()


@dataclass(frozen=True)
class Conversation:
    """Messages {"role", "content"}: a system message or none, then user and assistant in turn, ending in a reply."""

    id: str
    messages: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class ChatData:
    """The conversations to learn from; `left_out` and `suspected` count what was left out and what was only noticed.

    Rules: bad (no conversation, or an empty message), refusal, cut_off.
    """

    conversations: list[Conversation]
    left_out: Report = field(default_factory=Report)
    suspected: Report = field(default_factory=Report)


def read_conversations(sources: Sequence[tuple[Path, int | None]], seed: int, settings: ChatSettings = ALL) -> ChatData:
    """The conversations of all `sources`, from each as many as its count says, drawn at random by `seed`.

    What is drawn from a source keeps the order of its file. Raises InputError for a row that is no conversation
    (unless settings.on_bad is skip), and for a source that has fewer conversations than its count.
    """
    data = ChatData([])
    for number, (path, wanted) in enumerate(sources):
        found = _read(path, settings, data)
        if wanted is not None:
            if wanted > len(found):
                raise _too_few(path, len(found), wanted)
            picks = random.Random(f"{seed} chat source {number}").sample(range(len(found)), wanted)
            found = [found[i] for i in sorted(picks)]
        data.conversations.extend(found)
    return data


def _read(path: Path, settings: ChatSettings, data: ChatData) -> list[Conversation]:
    """The conversations of one source."""
    found: list[Conversation] = []
    for origin, row in read_objects(path):
        try:
            if isinstance(row, InputError):
                raise row
            messages = messages_of(row)
        except (InputError, NotAConversation) as error:
            refused = error if isinstance(error, InputError) else _refused(origin, str(error))
            if settings.on_bad == "stop":
                raise refused from None
            count(data.left_out, "bad", refused.message)
            continue
        seen = faults(messages)
        left_out = [fault for fault in seen if fault in settings.leave_out]
        for fault in left_out[:1] or seen:
            example = f"{origin}: …{short(messages[-1]['content'][-60:])}"
            count(data.left_out if left_out else data.suspected, fault, example)
        if not left_out:
            line = origin.replace("#", ":").rsplit(":", 1)[1]
            named = {str(name).lower(): value for name, value in row.items()}
            found.append(Conversation(str(named.get("id") or f"{path.stem}-{line}"), tuple(messages)))
    return found


def _too_few(path: Path, num_found: int, num_wanted: int) -> InputError:
    return InputError(
        f"{path} has {num_found} conversations, fewer than the {num_wanted} to draw.",
        hint=f"Set its count in chat.sources to {num_found} or less, or leave count out to take all.",
        hint_ja=f"chat.sources の count を {num_found} 以下にするか、省いてすべて使ってください。",
    )


def _refused(origin: str, reason: str) -> InputError:
    return InputError(
        f"{origin}: not a conversation to learn from: {reason}.",
        hint='Correct or remove this row, or set chat.on_bad = "skip" to count such rows and go on.',
        hint_ja='この行を直すか消してください。chat.on_bad = "skip" とすれば、数えたうえで飛ばします。',
    )

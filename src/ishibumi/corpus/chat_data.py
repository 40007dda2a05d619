"""Conversations that teach the form of an answer. files → Conversations, checked and drawn by seed.

{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
{"utterances": [{"name": "user", "text": "…"}, {"name": "agent", "text": "…"}]}
{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}
{"instruction": "…", "input": "…", "output": "…"}
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ishibumi.corpus.clean import printable
from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.jsonl import read_objects
from ishibumi.errors import InputError

# column → the names of the speaker and of the text in each of its entries
TURN_COLUMNS = {
    "messages": ("role", "content"),
    "utterances": ("name", "text"),
    "conversations": ("from", "value"),
}
ROLES = {
    "system": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "agent": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant",
}  # fmt: skip
PROMPT_COLUMNS = ("instruction", "input", "context")
REPLY_COLUMNS = ("output", "response")


@dataclass(frozen=True)
class Conversation:
    """Messages {"role", "content"}: a system message or none, then user and assistant in turn, ending in a reply."""

    id: str
    messages: tuple[dict[str, str], ...]


def read_conversations(sources: Sequence[tuple[Path, int | None]], seed: int) -> list[Conversation]:
    """The conversations of all `sources`, from each as many as its count says, drawn at random by `seed`.

    What is drawn from a source keeps the order of its file. Raises InputError for a row of another form, a wrong
    order of roles, an empty message, and a source that has fewer conversations than its count.
    """
    drawn: list[Conversation] = []
    for number, (path, count) in enumerate(sources):
        found = [_conversation(row, origin, path) for origin, row in read_objects(path)]
        if count is not None and count > len(found):
            raise InputError(
                f"{path} has {len(found)} conversations, fewer than the {count} to draw.",
                hint=f"Set its count in chat.sources to {len(found)} or less, or leave count out to take all.",
                hint_ja=f"chat.sources の count を {len(found)} 以下にするか、省いてすべて使ってください。",
            )
        if count is not None:
            picks = random.Random(f"{seed} chat source {number}").sample(range(len(found)), count)
            found = [found[i] for i in sorted(picks)]
        drawn += found
    return drawn


def _conversation(row: dict[str, Any], origin: str, path: Path) -> Conversation:
    messages = _messages(row, origin)
    _check_turns([message["role"] for message in messages], origin)
    for message in messages:
        if not message["content"]:
            raise _refused(origin, f"an empty {message['role']} message")
    line = origin.replace("#", ":").rsplit(":", 1)[1]
    return Conversation(str(row.get("id") or f"{path.stem}-{line}"), tuple(messages))


def _messages(row: dict[str, Any], origin: str) -> list[dict[str, str]]:
    for column, (speaker, text) in TURN_COLUMNS.items():
        if isinstance(row.get(column), list):
            turns = cast(list[Any], row[column])
            return [_message(turn, speaker, text, origin) for turn in turns]
    reply = next((row[name] for name in REPLY_COLUMNS if name in row), None)
    if "instruction" not in row or reply is None:
        known = ", ".join([*TURN_COLUMNS, "instruction with output"])
        raise _refused(origin, f"columns {', '.join(row) or 'none'}; read are {known}")
    prompt = [_text(row[name], name, origin) for name in PROMPT_COLUMNS if row.get(name)]
    return [
        {"role": "user", "content": "\n\n".join(prompt)},
        {"role": "assistant", "content": _text(reply, "the reply", origin)},
    ]


def _message(turn: Any, speaker: str, text: str, origin: str) -> dict[str, str]:
    if not isinstance(turn, dict) or speaker not in turn or text not in turn:
        raise _refused(origin, f"a message without {speaker} and {text}: {short(str(turn))}")
    values = cast(dict[str, Any], turn)
    role = ROLES.get(str(values[speaker]))
    if role is None:
        raise _refused(origin, f"the {speaker} «{values[speaker]}»; known are {', '.join(ROLES)}")
    return {"role": role, "content": _text(values[text], text, origin)}


def _text(value: Any, name: str, origin: str) -> str:
    if not isinstance(value, str):
        raise _refused(origin, f"{name} is not a text but {short(str(value))}")
    return printable(value).strip()


def _check_turns(roles: list[str], origin: str) -> None:
    """Raise InputError unless the roles are [system] (user assistant)+."""
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or turns != ["user", "assistant"] * (len(turns) // 2):
        order = ", ".join(roles) or "none"
        raise _refused(origin, f"the roles {order}; a conversation is user, assistant in turn and ends with assistant")


def _refused(origin: str, reason: str) -> InputError:
    return InputError(
        f"{origin}: not a conversation to learn from: {reason}.",
        hint="Correct or remove this row.",
        hint_ja="この行を直すか消してください。",
    )

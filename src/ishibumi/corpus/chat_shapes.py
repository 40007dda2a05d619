"""A row of a chat data set, in any of the usual shapes → messages, and what is wrong with their replies.

{"messages": [{"role": "user", "content": "…"}, …]}                as OpenAI has it; content may be a list of texts
{"conversations": [{"from": "human", "value": "…"}, …]}            ShareGPT; or with role and content
{"utterances": [{"name": "user", "text": "…"}, …]}
{"instruction": "…", "input": "…", "output": "…"}                  Alpaca; with "history" [["…", "…"], …]
Instruction,Output                                                 pairs in columns, in small or capital letters
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ishibumi.corpus.clean import printable
from ishibumi.corpus.readers.columns import kind_of, short

Message = dict[str, str]

TURNS = ("messages", "conversations", "conversation", "utterances", "dialogue", "turns", "chat")
SPEAKERS, TEXTS = ("role", "from", "name", "speaker"), ("content", "value", "text")
ROLES = {
    "system": "system", "developer": "system", "システム": "system",
    "user": "user", "human": "user", "prompter": "user", "ユーザー": "user", "ユーザ": "user",
    "assistant": "assistant", "agent": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant",
    "chatgpt": "assistant", "ai": "assistant", "アシスタント": "assistant",
}  # fmt: skip
SYSTEM = ("system", "system_prompt", "システム")
PROMPTS = ("instruction", "prompt", "question", "query", "指示", "質問", "input", "入力")
FURTHER = ("input", "context", "入力")  # stands below the instruction
REPLIES = ("output", "response", "completion", "answer", "reply", "応答", "回答", "出力")

_HEAD = 160  # a refusal says so at once
_REFUSAL = re.compile(
    r"(?:お答え|回答|お手伝い|提供|お応え|支援|対応)(?:する|を|は|こと|が)*(?:できません|出来ません|(?:いた|致)?しかねます)"
    r"|AI(?:言語モデル|アシスタント)?(?:として|なので|ですので|であるため)"
    r"|\b(?:I(?:'m| am) (?:sorry|unable)|I (?:can(?:no|')t|won't) (?:help|assist|provide|answer|comply|fulfill|do)"
    r"|as an AI\b|as a language model)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[。．.!?！？]")
_OPEN_END = re.compile(r"[\w、,ー]$")
_NO_SENTENCE = re.compile(r"\s*(?:[-*•・|#>$]|\d+[.)]|「|https?:)|.*(?://|[=:：|]\s*\S+$)")


class NotAConversation(Exception):
    """Why a row is none, in words."""


def messages_of(row: Mapping[str, Any]) -> list[Message]:
    """[system] (user assistant)+, with control characters taken out. Raises NotAConversation."""
    named = {unicodedata.normalize("NFKC", str(name)).strip().lower(): value for name, value in row.items()}
    turns = next((named[name] for name in TURNS if _is_list(named.get(name))), None)
    messages = [_of_turn(turn) for turn in turns] if turns is not None else list(_of_columns(named))
    system = next((named[name] for name in SYSTEM if named.get(name)), None)
    if system and messages and messages[0]["role"] != "system":
        messages.insert(0, _message("system", system))
    _check([message["role"] for message in messages])
    for message in messages:
        if not message["content"]:
            raise NotAConversation(f"an empty {message['role']} message")
    return messages


def faults(messages: list[Message]) -> list[str]:
    """Of refusal and cut_off, those that one of the replies shows."""
    replies = [message["content"] for message in messages if message["role"] == "assistant"]
    found = {"refusal": any(_REFUSAL.search(r[:_HEAD]) for r in replies), "cut_off": any(map(is_cut_off, replies))}
    return [fault for fault, is_found in found.items() if is_found]


def is_cut_off(reply: str) -> bool:
    """Whether a reply stops in the middle: a code block stays open, or its last sentence has no end.

    A sentence without an end counts only where others have one, and not in lists, tables, headings and addresses.
    """
    if reply.count("```") % 2:
        return True
    last = reply.rpartition("\n")[2]
    if not _OPEN_END.search(last) or _NO_SENTENCE.match(last):
        return False
    return last.endswith(("、", ",")) or len(_SENTENCE_END.findall(reply)) > 1


def _of_turn(turn: Any) -> Message:
    values = cast(dict[str, Any], turn) if isinstance(turn, dict) else {}
    speaker = next((name for name in SPEAKERS if name in values), None)
    text = next((name for name in TEXTS if name in values), None)
    if speaker is None or text is None:
        raise NotAConversation(f"a message without role and content: {short(str(turn))}")
    role = ROLES.get(str(values[speaker]).strip().lower())
    if role is None:
        raise NotAConversation(f"the {speaker} «{short(str(values[speaker]))}»; known are {', '.join(ROLES)}")
    return _message(role, values[text])


def _of_columns(named: dict[str, Any]) -> Iterator[Message]:
    prompt = next((name for name in PROMPTS if named.get(name)), None)
    reply = next((name for name in REPLIES if name in named), None)
    if prompt is None or reply is None:
        known = f"{', '.join(TURNS)}; or one of {', '.join(PROMPTS)} with one of {', '.join(REPLIES)}"
        raise NotAConversation(f"columns {short(', '.join(named), length=200) or 'none'}; read are {known}")
    for pair in named["history"] if _is_list(named.get("history")) else ():
        if not _is_list(pair) or len(pair) != 2:
            raise NotAConversation(f"history is not a list of pairs: {short(str(pair))}")
        yield from (_message("user", pair[0]), _message("assistant", pair[1]))
    further = [named[name] for name in FURTHER if name != prompt and named.get(name)]
    asked = [_message("user", part)["content"] for part in (named[prompt], *further)]
    yield {"role": "user", "content": "\n\n".join(asked)}
    yield _message("assistant", named[reply])


def _message(role: str, value: Any) -> Message:
    """The message; a list of {"type": "text", "text": "…"} is one text. Raises NotAConversation for pictures."""
    if _is_list(value) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        value = "\n".join(part["text"] for part in value)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise NotAConversation(f"the {role} message is not a text but {kind_of(value)}: {short(str(value))}")
    return {"role": role, "content": printable(value).strip()}


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _check(roles: list[str]) -> None:
    """Raise NotAConversation unless the roles are [system] (user assistant)+."""
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or turns != ["user", "assistant"] * (len(turns) // 2):
        order = short(", ".join(roles)) or "none"
        raise NotAConversation(f"the roles {order}; a conversation is user, assistant in turn and ends with assistant")

"""What Ollama needs beside a GGUF file: a Modelfile with the template in its own language and stop words.

A chat template is a program, and Ollama has another language for it. What nearly all of them write are fixed words
around each message; these are found by writing a conversation of marks and looking at what stands between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from ishibumi.errors import ModelError
from ishibumi.models.chat_format import ChatFormat, Message
from ishibumi.use.gguf_tokenizer import adds_start

_SYSTEM, _USER, _REPLY, _NEXT = "⟦system⟧", "⟦user⟧", "⟦reply⟧", "⟦next⟧"


@dataclass(frozen=True)
class Turns:
    """The fixed words of a chat template: before everything, and around each message. `opening` stands where there is
    no system message; `system` is None where the template takes none."""

    start: str
    opening: str
    system: tuple[str, str] | None
    user: tuple[str, str]
    reply_end: str

    def written(self, messages: Sequence[Message]) -> str:
        """The conversation as the template would write it."""
        parts = [self.start, "" if messages[0]["role"] == "system" else self.opening]
        around = {"system": self.system or ("", ""), "user": self.user, "assistant": ("", self.reply_end)}
        for message in messages:
            before, after = around[message["role"]]
            parts += [before, message["content"], after]
        return "".join(parts)


def turns_of(chat: ChatFormat) -> Turns:
    """The fixed words of this format. Raises ModelError for a template that does more than put them in."""
    user, reply = {"role": "user", "content": _USER}, {"role": "assistant", "content": _REPLY}
    system, further = {"role": "system", "content": _SYSTEM}, {"role": "user", "content": _NEXT}
    whole = _written(chat, [user, reply, further])
    head, middle = whole.partition(_USER)[0], whole.partition(_REPLY)[2].partition(_NEXT)[0]
    reply_end = _written(chat, [user, reply]).rpartition(_REPLY)[2]
    before_user = middle.removeprefix(reply_end)
    start = chat.tokenizer.bos_token or ""
    start = start if head.startswith(start) else ""
    opening = head.removeprefix(start).removesuffix(before_user)
    with_system = _system_words(chat, [system, user], start, before_user)
    turns = Turns(start, opening, with_system, (before_user, whole.rpartition(_NEXT)[2]), reply_end)
    for messages in ([user, reply, further], [system, user, reply, further] if with_system else [user]):
        if turns.written(messages) != _written(chat, messages):
            raise ModelError("This chat template does more than put fixed words around messages.")
    return turns


def _system_words(
    chat: ChatFormat, messages: Sequence[Message], start: str, before_user: str
) -> tuple[str, str] | None:
    try:
        head = _written(chat, messages).partition(_USER)[0]
    except TemplateError:  # it refuses such messages
        return None
    before, mark, after = head.removeprefix(start).partition(_SYSTEM)
    return (before, after.removesuffix(before_user)) if mark else None


def _written(chat: ChatFormat, messages: Sequence[Message]) -> str:
    is_open = messages[-1]["role"] != "assistant"
    return str(chat.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=is_open))


def modelfile(chat: ChatFormat, gguf_name: str) -> str:
    """The text of Ollama's Modelfile. Where the template has no counterpart, it says so and leaves the GGUF's own."""
    tokenizer: Any = chat.tokenizer
    stops = sorted({str(tokenizer.convert_ids_to_tokens(i)) for i in chat.stop_ids})
    lines = [f"FROM ./{gguf_name}", "PARAMETER temperature 0"]
    try:
        turns = turns_of(chat)
    except ModelError as error:
        lines.append(f"# {error.message} Ollama uses the template in the GGUF file, if it can.")
    else:
        lines.append(f'TEMPLATE """{_go_template(turns, adds_start(tokenizer))}"""')
        stops += [turns.user[0].strip()] if turns.user[0].strip() else []
    lines += [f'PARAMETER stop "{stop}"' for stop in stops]
    return "\n".join(lines) + "\n"


def _go_template(turns: Turns, starts_by_itself: bool) -> str:
    """The template in Go's template language; Ollama adds the start token itself where the GGUF says so."""
    before, after = turns.system or ("", "")
    head = f"{{{{ if .System }}}}{before}{{{{ .System }}}}{after}{{{{ else }}}}{turns.opening}{{{{ end }}}}"
    user = f'{{{{ if eq .Role "user" }}}}{turns.user[0]}{{{{ .Content }}}}{turns.user[1]}'
    reply = f'{{{{ else if eq .Role "assistant" }}}}{{{{ .Content }}}}{turns.reply_end}{{{{ end }}}}'
    start = "" if starts_by_itself else turns.start
    return f"{start}{head if turns.system else turns.opening}{{{{ range .Messages }}}}{user}{reply}{{{{ end }}}}"

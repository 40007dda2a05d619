"""ChatFormat: messages ↔ token ids, with the mask of what is learned.

A base model has no chat format, so by default conversations are plain text that needs no new token:

    <bos>### 質問:⏎ 首都は？ ⏎⏎ ### 回答:⏎ 東京です。<eos>
    0000000000000000000000000000000000  1 1 1 1  1        ← loss mask: the reply and its end

A model that has a chat template keeps its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ishibumi.errors import ModelError

Message = Mapping[str, str]

HEADINGS = {"ja": ("### 質問:", "### 回答:"), "en": ("### Question:", "### Answer:")}
_PLAIN_TEMPLATE = (
    "{{{{ bos_token }}}}{{% for message in messages %}}"
    "{{% if message['role'] == 'system' %}}{{{{ message['content'] + '\n\n' }}}}"
    "{{% elif message['role'] == 'user' %}}{{{{ '{user}\n' + message['content'] + '\n\n{assistant}\n' }}}}"
    "{{% else %}}{{{{ message['content'] + eos_token + '\n\n' }}}}{{% endif %}}{{% endfor %}}"
)


@dataclass(frozen=True)
class ChatFormat:
    """How a conversation is written for one tokenizer; make it with `chat_format`. `end_id` ends a learned reply.

    `is_own` is whether the tokenizer brought its chat template along.
    """

    tokenizer: Any
    end_id: int
    stop_ids: frozenset[int]
    is_own: bool = False

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids up to where the reply starts; the last message is the user's."""
        return self._ids(self._render(messages))

    def conversation_ids(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """Token ids of a conversation and, for each, whether it is learned (replies with their end)."""
        ids: list[int] = []
        learned: list[bool] = []
        for turn, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self.prompt_ids(messages[:turn])
            if prompt[: len(ids)] != ids:
                raise ModelError(
                    "This chat template changes earlier turns when later ones are added, so replies cannot be marked.",
                    hint='Set model.template = "ja" or "en" to use the plain format.',
                    hint_ja='model.template = "ja" か "en" にすると、平文の書式を使えます。',
                )
            reply = self._reply_ids(messages[:turn], prompt, message["content"])
            learned += [False] * (len(prompt) - len(ids)) + [True] * len(reply)
            ids = prompt + reply
        return ids, learned

    def _reply_ids(self, before: Sequence[Message], prompt: list[int], reply: str) -> list[int]:
        """Ids of a reply as they follow the prompt, and the token that ends it."""
        whole = self._ids(self._render(before) + reply)
        follows = whole[len(prompt) :] if whole[: len(prompt)] == prompt else self._ids(reply)
        return [*follows, self.end_id]

    def _render(self, messages: Sequence[Message]) -> str:
        ends_open = messages[-1]["role"] != "assistant"
        return str(self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ends_open))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def chat_format(tokenizer: Any, template: str, extra_stop_ids: Sequence[int] = ()) -> ChatFormat:
    """The chat format of a tokenizer: its own for "auto" if it has one, else plain text in "ja" or "en".

    The plain template is written into the tokenizer, so that it is saved with the model.
    Raises ModelError where the tokenizer has no end token or cannot write the template.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"The tokenizer {tokenizer.name_or_path} has no end-of-text token, so no reply could ever stop.",
            hint="Use a base model whose tokenizer defines eos_token.",
            hint_ja="eos_token のあるトークナイザをもつ基盤モデルを使ってください。",
        )
    own = template == "auto" and bool(tokenizer.chat_template)
    if not own:
        user, assistant = HEADINGS["ja" if template == "auto" else template]
        plain = _PLAIN_TEMPLATE.format(user=user, assistant=assistant)
        tokenizer.chat_template = plain if tokenizer.bos_token else plain.replace("{{ bos_token }}", "")
        _check_writes(tokenizer, user + assistant)
    end_id = _end_of_reply(tokenizer)
    stop_ids = frozenset([end_id, int(tokenizer.eos_token_id), *map(int, extra_stop_ids)])
    return ChatFormat(tokenizer, end_id, stop_ids, own)


def _end_of_reply(tokenizer: Any) -> int:
    """The special token that the template writes after a reply, such as <|im_end|>; else the end-of-text token."""
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "REPLY"}]
    _, _, tail = str(tokenizer.apply_chat_template(probe, tokenize=False)).rpartition("REPLY")
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
    return int(next((i for i in ids if i in special), tokenizer.eos_token_id))


def _check_writes(tokenizer: Any, headings: str) -> None:
    """Refuse a tokenizer that turns the template's own characters into unknown tokens."""
    ids = tokenizer(headings, add_special_tokens=False)["input_ids"]
    unknown = tokenizer.unk_token_id
    if not ids or (unknown is not None and unknown in ids):
        raise ModelError(
            f"The tokenizer {tokenizer.name_or_path} cannot write the chat template {headings!r}: "
            "it has unknown tokens.",
            hint='Try model.template = "en", or a base model whose tokenizer knows these characters.',
            hint_ja='model.template = "en" にするか、これらの文字を扱える基盤モデルを使ってください。',
        )

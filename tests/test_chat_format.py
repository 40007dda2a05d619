"""Chat format: messages to ids and what is learned of them, for plain text and for a model's own template."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ishibumi.errors import ModelError
from ishibumi.models.chat_format import chat_format

BOS, EOS = 256, 257
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def asked(*turns: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


def byte_ids(text: str) -> list[int]:
    return list(tiny.byte_tokenizer()(text, add_special_tokens=False)["input_ids"])


def chatml_tokenizer() -> PreTrainedTokenizerFast:
    """As Qwen's base models have it: a template with <|im_end|>, but an end token of another name."""
    tokenizer = tiny.byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    return tokenizer


def test_of_a_single_turn_the_reply_and_its_end_are_learned() -> None:
    form = chat_format(tiny.byte_tokenizer(), "en")
    prompt = [BOS, *byte_ids("### Question:\nWho won?\n\n### Answer:\n")]
    assert form.prompt_ids(asked("Who won?")) == prompt
    ids, learned = form.conversation_ids(asked("Who won?", "Spain"))
    assert ids == [*prompt, *byte_ids("Spain"), EOS]
    assert learned == [False] * len(prompt) + [True] * 6
    assert form.stop_ids == {EOS}


def test_of_several_turns_every_reply_is_learned_and_a_system_message_is_not() -> None:
    form = chat_format(tiny.byte_tokenizer(), "ja")
    messages = [{"role": "system", "content": "短く"}, *asked("首都は？", "東京", "人口は？", "多い")]
    parts = [
        ([BOS, *byte_ids("短く\n\n### 質問:\n首都は？\n\n### 回答:\n")], False),
        ([*byte_ids("東京"), EOS], True),
        (byte_ids("\n\n### 質問:\n人口は？\n\n### 回答:\n"), False),
        ([*byte_ids("多い"), EOS], True),
    ]
    ids, learned = form.conversation_ids(messages)
    assert ids == [i for part, _ in parts for i in part]
    assert learned == [flag for part, flag in parts for _ in part]


@pytest.mark.parametrize("make", [tiny.byte_tokenizer, tiny.unigram_tokenizer])
def test_the_template_that_is_saved_with_the_tokenizer_writes_the_same(make: Any, tmp_path: Path) -> None:
    tokenizer = make()
    form = chat_format(tokenizer, "auto")
    messages = asked("首都は？", "東京です。", "Is it?", "Yes")
    wanted_prompt, wanted = form.prompt_ids(messages[:3]), form.conversation_ids(messages)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    rendered = again.apply_chat_template(messages[:3], add_generation_prompt=True, tokenize=True, return_dict=False)
    assert rendered == wanted_prompt
    for template in ("auto", "ja"):  # the saved template is the tokenizer's own now
        assert chat_format(again, template).prompt_ids(messages[:3]) == wanted_prompt
        assert chat_format(again, template).conversation_ids(messages) == wanted


def test_pieces_and_bytes_of_a_unigram_tokenizer_come_back_as_text() -> None:
    tokenizer = tiny.unigram_tokenizer()
    ids, learned = chat_format(tokenizer, "ja").conversation_ids(asked("首都は？", "東京です。鷗"))
    reply = [i for i, flag in zip(ids, learned, strict=True) if flag]
    assert tokenizer.convert_ids_to_tokens(reply) == ["東京", "です", "。", "<0xE9>", "<0xB7>", "<0x97>", "</s>"]
    assert tokenizer.decode(reply, skip_special_tokens=True) == "東京です。鷗"


def test_a_model_keeps_its_own_template_and_ends_replies_as_that_does() -> None:
    tokenizer = chatml_tokenizer()
    start, end = (tokenizer.get_vocab()[token] for token in ("<|im_start|>", "<|im_end|>"))
    form = chat_format(tokenizer, "auto")
    assert tokenizer.chat_template == CHATML
    ids, learned = form.conversation_ids(asked("a", "b", "c", "d"))
    prompt = [start, *byte_ids("user\na"), end, *byte_ids("\n"), start, *byte_ids("assistant\n")]
    between = [*byte_ids("\n"), start, *byte_ids("user\nc"), end, *byte_ids("\n"), start, *byte_ids("assistant\n")]
    assert ids == [*prompt, *byte_ids("b"), end, *between, *byte_ids("d"), end]
    assert learned == [False] * len(prompt) + [True, True] + [False] * len(between) + [True, True]
    assert form.stop_ids == {EOS, end}


def test_the_plain_template_replaces_the_own_one_where_it_is_asked_for() -> None:
    tokenizer = chatml_tokenizer()
    assert chat_format(tokenizer, "en").prompt_ids(asked("a")) == [BOS, *byte_ids("### Question:\na\n\n### Answer:\n")]


def test_without_a_start_token_none_is_written() -> None:
    tokenizer = tiny.byte_tokenizer()
    tokenizer.bos_token = None
    assert chat_format(tokenizer, "en").prompt_ids(asked("a")) == byte_ids("### Question:\na\n\n### Answer:\n")


def test_further_stop_tokens_stop_too() -> None:
    assert chat_format(tiny.byte_tokenizer(), "en", [3, 4]).stop_ids == {3, 4, EOS}


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    tokenizer = chatml_tokenizer()
    tokenizer.chat_template = "{{ messages | length }}" + CHATML
    with pytest.raises(ModelError, match="changes earlier turns") as caught:
        chat_format(tokenizer, "auto").conversation_ids(asked("a", "b", "c", "d"))
    assert caught.value.hint and caught.value.hint_ja


def test_a_tokenizer_without_an_end_token_is_refused() -> None:
    tokenizer = tiny.byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="has no end-of-text token, so no reply could ever stop") as caught:
        chat_format(tokenizer, "auto")
    assert caught.value.hint and caught.value.hint_ja


def test_a_tokenizer_that_cannot_write_the_template_is_refused() -> None:
    inner = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), *((c, -1.0) for c in "# QAuestionwr:")], unk_id=0))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", unk_token="<unk>")
    with pytest.raises(ModelError, match="cannot write the chat template '### 質問:### 回答:'") as caught:
        chat_format(tokenizer, "ja")
    assert caught.value.hint and caught.value.hint_ja
    assert chat_format(tokenizer, "en").end_id == 1

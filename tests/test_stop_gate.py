"""What would never stop is refused before it trains, and the mask that is shown is the mask that is trained."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from rich.console import Console
from test_chat_format import chatml_tokenizer

from ishibumi import config
from ishibumi.artifacts import write_jsonl
from ishibumi.corpus.chat_data import Conversation
from ishibumi.errors import ModelError, UsageError
from ishibumi.knowledge.items import load_items
from ishibumi.models.chat_format import chat_format
from ishibumi.models.load import LoadedModel
from ishibumi.training.cpt import chat_example
from ishibumi.training.stop_gate import _PROBE, require_ends, require_trained_template, untrained_tokens
from ishibumi.training.tokens import Example
from ishibumi.use.mask import masked, show_mask

START, END = 258, 259


def chatml_model() -> LoadedModel:
    tokenizer = chatml_tokenizer()
    network = tiny.network("llama", vocabulary=len(tokenizer))
    return LoadedModel(network, tokenizer, chat_format(tokenizer, "auto"), "chatml-base")


def set_row(model: LoadedModel, token: int, value: torch.Tensor) -> None:
    network: Any = model.network
    with torch.no_grad():
        network.get_input_embeddings().weight[token] = value


def test_a_trained_template_passes() -> None:
    model = chatml_model()
    assert untrained_tokens(model.network, [START, END]) == []
    require_trained_template(model, [])


@pytest.mark.parametrize("kind", ["zero", "tiny", "mean", "alike"])
def test_template_tokens_that_the_base_never_trained_are_refused_with_advice(kind: str) -> None:
    model = chatml_model()
    network: Any = model.network
    rows = network.get_input_embeddings().weight.detach()
    values = {"zero": rows[0] * 0, "tiny": rows[END] * 1e-3, "mean": rows.mean(dim=0), "alike": rows[START].clone()}
    set_row(model, END, values[kind])
    expected = [START, END] if kind == "alike" else [END]
    assert untrained_tokens(model.network, [START, END]) == expected
    with pytest.raises(ModelError) as caught:
        require_trained_template(model, ["q_proj"])
    names = "<|im_start|>, <|im_end|>" if kind == "alike" else "<|im_end|>"
    assert caught.value.message == (
        f"The chat template of chatml-base uses tokens that this base model never trained: {names}. "
        "Replies in it would not stop."
    )
    assert 'model.template = "en" or "ja"' in caught.value.hint and caught.value.hint_ja


def test_a_model_that_ends_its_replies_passes_however_its_tokens_look() -> None:
    model = chatml_model()
    network: Any = model.network
    set_row(model, END, network.get_input_embeddings().weight.detach()[START].clone())
    ids, _ = model.format.conversation_ids(_PROBE)
    with torch.no_grad():
        hidden = network.model(torch.tensor([ids[: ids.index(END, len(ids) // 2)]])).last_hidden_state[0, -1]
        network.lm_head.weight[END] = 100 * hidden
    assert untrained_tokens(model.network, [START, END]) == [START, END]  # so they look
    require_trained_template(model, ["q_proj"])


def test_a_stage_that_trains_the_embeddings_may_use_new_tokens_and_a_plain_template_needs_none() -> None:
    model = chatml_model()
    set_row(model, END, torch.zeros(32))
    with pytest.raises(ModelError):
        require_trained_template(model, ["q_proj"])
    require_trained_template(model, ["embed_tokens", "lm_head"])
    require_trained_template(replace(model, format=chat_format(chatml_tokenizer(), "en")), [])


@pytest.mark.parametrize(
    ("kind", "target", "trains"),
    [
        ("llama", "embed_tokens", True),
        ("llama", "model.embed_tokens", True),
        ("llama", "lm_head", False),  # a matrix of its own
        ("qwen3", "lm_head", True),  # the same matrix
        ("llama", "up_proj", False),
    ],
)
def test_the_embeddings_train_by_any_name_of_theirs(kind: str, target: str, trains: bool) -> None:
    tokenizer = chatml_tokenizer()
    network = tiny.network(kind, vocabulary=len(tokenizer))
    model = LoadedModel(network, tokenizer, chat_format(tokenizer, "auto"), "chatml-base")
    set_row(model, END, torch.zeros(32))
    with contextlib.nullcontext() if trains else pytest.raises(ModelError):
        require_trained_template(model, [target])


def test_every_reply_must_end_with_the_learned_end() -> None:
    require_ends([1, 2, 9, 3, 4, 9], [False, True, True, False, True, True], 9, "c")
    for ids, learned in (([1, 2, 9], [False, True, False]), ([1, 2, 3], [False, True, True]), ([1, 9], [False, False])):
        with pytest.raises(ModelError, match=r"^c: a reply does not end with the learned token 9"):
            require_ends(ids, learned, 9, "c")


def conversation(*turns: str) -> Conversation:
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    return Conversation("c-1", tuple(messages))


def test_the_mask_stands_in_brackets_and_in_colour() -> None:
    text = masked(chatml_model(), chat_example(chatml_model(), conversation("首都は？", "東京", "a", "b")))
    head = "chat   9 of 61 tokens learned\n"
    assert text.plain == (
        head + "<|im_start|>user\n首都は？<|im_end|>\n<|im_start|>assistant\n⟦東京<|im_end|>⟧\n"
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>⟧"
    )
    learned = [text.plain[span.start : span.end] for span in text.spans if "green" in str(span.style)]
    assert learned == ["⟦東京<|im_end|>⟧", "⟦b<|im_end|>⟧"]


def test_a_mask_inside_a_letter_shows_where_it_lies() -> None:
    ids = tiny.byte_tokenizer()("é", add_special_tokens=False)["input_ids"]
    model = chatml_model()
    assert masked(model, Example(ids, [False, True], "d", "document")).plain.endswith("\n\ufffd⟦\ufffd⟧")


def test_show_mask_finds_documents_items_and_conversations(tmp_path: Path) -> None:
    base = tiny.save("llama", tmp_path / "base")
    (tmp_path / "chat.jsonl").write_text('{"prompt": "q", "response": "a"}\n')
    settings = tmp_path / "ishibumi.toml"
    settings.write_text(
        f'[model]\nbase = "{base}"\ndevice = "cpu"\ndtype = "float32"\ntemplate = "en"\n'
        '[chat]\nsources = [{ path = "chat.jsonl" }]\n'
    )
    run = config.load(settings, {"run_dir": str(tmp_path / "run")})
    for stage, name, row in (
        ("corpus", "documents", {"id": "d", "text": "Spain won.", "title": "Final", "date": "2026-07-19",
                                 "language": "en", "origin": "a:1", "url": None}),
        ("knowledge", "items", {"document_id": "d", "kind": "question", "rule": "who",
                                "text": "Who won?", "answer": "Spain", "evidence": "Spain won."}),
    ):  # fmt: skip
        (tmp_path / "run" / stage).mkdir(parents=True)
        write_jsonl(tmp_path / "run" / stage / f"{name}.jsonl", [row])
    item = load_items(tmp_path / "run" / "knowledge")[0].id
    assert show_mask(run, "chat-1").plain == (
        "chat   2 of 32 tokens learned\n<s>### Question:\nq\n\n### Answer:\n⟦a</s>⟧"
    )
    assert show_mask(run, "d").plain == (
        "document d  34 of 35 tokens learned\n<s>⟦News of July 19, 2026: Spain won.</s>⟧"
    )
    assert "### Answer:\n⟦【Final】«Spain won.» Spain</s>⟧" in show_mask(run, item).plain
    with pytest.raises(UsageError, match=r'^No document, item or conversation "x" in this run\.'):
        show_mask(run, "x")
    console = Console(force_terminal=True, color_system="standard", highlight=False, width=200)
    with console.capture() as captured:
        console.print(show_mask(run, "chat-1"))
    assert "\x1b[1;32m⟦a</s>⟧\x1b[0m" in captured.get()

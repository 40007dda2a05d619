"""The models that can be asked, each as the exam asks it. Run → networks and an index; arm + messages → token ids.

engraved            the finished model, in its chat format
base                the untouched model, with worked examples
retrieval           the untouched model, with worked examples and the nearest documents by BM25
engraved_retrieval  the finished model, with the nearest documents
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch

from ishibumi.config import Run
from ishibumi.corpus.clean import language_of
from ishibumi.exam.evaluate import FROM_MEMORY, STOP_TEXTS, UNTRAINED_ARMS, arm_prompt
from ishibumi.exam.questions import Question
from ishibumi.exam.retrieval import Index, index_documents
from ishibumi.models.chat_format import Message
from ishibumi.models.load import LoadedModel, find_base, load_finished, load_model
from ishibumi.models.packing import pack
from ishibumi.settings import Arm, ExamSettings
from ishibumi.training.asked import load_to_ask
from ishibumi.training.fitting import reply_precision
from ishibumi.use.show import list_documents

MODELS: tuple[Arm, ...] = ("engraved", "base", "retrieval", "engraved_retrieval")
Network = Literal["engraved", "base"]


@dataclass(frozen=True)
class Models:
    """The two networks, the documents, and how the exam asks."""

    networks: dict[Network, LoadedModel]
    index: Index
    exam: ExamSettings

    def prompt_ids(self, arm: Arm, messages: Sequence[Message]) -> list[int]:
        """What the model called `arm` reads. Only `engraved` reads the whole conversation, others the last message."""
        model = self.networks[network_of(arm)]
        if arm == "engraved":
            return model.format.prompt_ids(messages)
        text = messages[-1]["content"]
        question = Question("", "", language_of(text), text, answer="", accept=(), kind="")
        shown = () if arm in FROM_MEMORY else self.index.retrieve(text, self.exam.retrieved_documents)
        return arm_prompt(arm, model, question, shown, self.exam).ids


def network_of(arm: Arm) -> Network:
    """Which of the two networks answers for `arm`."""
    return "base" if arm in UNTRAINED_ARMS else "engraved"


def stop_texts(arm: Arm) -> tuple[str, ...]:
    """What ends a reply besides the model's own end: the base's worked examples are one line each."""
    return STOP_TEXTS if arm in UNTRAINED_ARMS else ()


def load_models(run: Run) -> Models:
    """Everything that can be asked, by many at once. Raises ArtifactError where the run is not finished."""
    models = with_base(run, load_engraved(run))
    pack(*(model.network for model in models.networks.values()))
    return models


def load_engraved(run: Run) -> LoadedModel:
    """The finished model, ready to answer. Raises ArtifactError where the run is not finished."""
    return _loaded(run, partial(load_finished, run.settings.model, run.run_dir))


def with_base(run: Run, engraved: LoadedModel) -> Models:
    """The finished model with what can be compared with it."""
    base = _loaded(run, partial(load_model, run.settings.model, run.base_dir, None))
    share_equal_weights(engraved, base)
    return Models({"engraved": engraved, "base": base}, index_documents(list_documents(run)), run.settings.exam)


def _loaded(run: Run, load: Callable[[torch.device], LoadedModel]) -> LoadedModel:
    """What `load` gives on a device, with its matrices in the format in which an exam would be held here."""
    model = run.settings.model
    precision = reply_precision(run.settings, find_base(model.base, run.base_dir))
    return talking(load_to_ask(load, model, precision))


def talking(model: LoadedModel) -> LoadedModel:
    """The model in the number format that is fast here.

    A CPU without bf16 instructions converts bf16 weights at every step: 32 replies at once are then no faster than one
    after another. In fp32 it has the same weights and rounds less.
    """
    if model.device.type != "cpu" or any(
        torch.cpu.get_capabilities().get(name) for name in ("amx_bf16", "avx512_bf16")
    ):
        return model
    return replace(model, network=model.network.float())


@torch.no_grad()
def share_equal_weights(model: LoadedModel, other: LoadedModel) -> int:
    """Let `other` use the weights of `model` that are equal to its own; returns the bytes that this frees.

    Training leaves the embeddings alone unless it is told otherwise: in Gemma 3 270M they are 63 % of the weights.
    """
    kept, freed = dict(model.network.named_parameters()), 0
    for name, weight in other.network.named_parameters():
        if weight.data_ptr() != kept[name].data_ptr() and torch.equal(weight, kept[name]):
            freed += weight.nbytes
            weight.data = kept[name].data
    return freed

"""One training stage from examples to saved weights, as both cpt and sft run it.

model + examples → tokens on disk → plan → train → proof → adapter → merged into the model
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ishibumi.artifacts import write_json, write_jsonl
from ishibumi.errors import TrainingError, UsageError
from ishibumi.models.load import LoadedModel
from ishibumi.settings import TrainSettings
from ishibumi.training.adapters import attach, merge, prove_trained, scale_learned
from ishibumi.training.attention import hidden_states
from ishibumi.training.batches import Plan, make_plan
from ishibumi.training.checkpoint import NAME as CHECKPOINT
from ishibumi.training.compiled import TOLERANCE, compiled_layers, compiles, gradient_difference
from ishibumi.training.saved import save_adapter
from ishibumi.training.tokens import SOURCES, Example, Source, fit_rows, open_tokens, share_beginnings, write_tokens
from ishibumi.training.trainer import OnStep, train
from ishibumi.training.until import Measured, Passes, train_in_passes

SHARE_OF_ROW = 2  # questions that begin alike fill at most half a row, so that a step mixes documents
MERGE_TOLERANCE = 0.05  # of the hidden states' size: bf16 keeps 8 bits, and merging rounds every weight (0.01 to 0.03)


@dataclass(frozen=True)
class Mix:
    """What a stage trains on: `own` sources once an epoch, and `shares` of the tokens drawn from other sources.

    `kl_weight` is that of the distance to the base on replay.
    """

    own: Sequence[Source]
    shares: Mapping[Source, float]
    kl_weight: float = 0.0


def run_stage(
    model: LoadedModel,
    examples: list[Example],
    mix: Mix,
    settings: TrainSettings,
    directory: Path,
    *,
    seed: int,
    on_step: OnStep,
    should_stop: Callable[[], bool],
    passes: Passes | None = None,
) -> dict[str, Any]:
    """Train `model` in place (adapters merged at the end) and fill `directory`; returns what the manifest keeps.

    Files: tokens, adapter/, history.jsonl (a row a step), proof.json (what trained and how far it moved).
    """
    fitting, num_long = fit_rows(examples, settings.row_tokens)
    num_texts = Counter(example.source for example in fitting)
    questions = [e for e in fitting if e.source == "question"]
    shared = share_beginnings(questions, settings.row_tokens // SHARE_OF_ROW)
    fitting = [e for e in fitting if e.source != "question"] + shared
    if not any(e.source in mix.own for e in fitting):
        raise TrainingError(
            f"Nothing to train on: {num_long} of {len(examples)} texts are longer than "
            f"row_tokens = {settings.row_tokens}.",
            hint="Raise row_tokens, or check the documents and chat.sources.",
            hint_ja="row_tokens を大きくするか、文書と chat.sources を確認してください。",
        )
    write_tokens(directory, fitting)
    plan = make_plan(
        open_tokens(directory),
        own=mix.own,
        shares=mix.shares,
        epochs=settings.epochs,
        row_tokens=settings.row_tokens,
        tokens_per_step=settings.tokens_per_step,
        seed=seed,
        max_tokens=settings.max_tokens,
        answer_weight=settings.answer_weight,
    )
    plan = replace(plan, kl_weight=mix.kl_weight)
    trainables = attach(model.network, settings, seed)
    if mix.kl_weight and (full := [t.name for t in trainables if t.kind == "full"]):
        raise UsageError(
            f"replay.kl_weight compares with the base by switching adapters off, but {full[0]} trains in full.",
            hint='Set cpt.method = "lora" and leave embed_tokens and lm_head out of cpt.targets, or kl_weight = 0.',
            hint_ja='cpt.method = "lora" にして cpt.targets から embed_tokens と lm_head を外すか、'
            "kl_weight = 0 にしてください。",
        )
    with contextlib.ExitStack() as layers:
        is_compiled = compiles(model, plan)
        if is_compiled:
            layers.enter_context(compiled_layers(model.network))
            first = next(plan.passes(plan.rows_of_step(0), settings.tokens_per_pass)).to(model.device)
            is_compiled = gradient_difference(model.network, trainables, first) <= TOLERANCE
        if not is_compiled:
            layers.close()
        train_on = partial(
            train, model.network, trainables, settings=settings, directory=directory, on_step=on_step,
            should_stop=should_stop,
        )  # fmt: skip
        measured, ended = list[Measured](), ""
        if passes:
            plan, measured, ended = train_in_passes(plan, mix.own, mix.shares, passes, directory, train_on)
        history = train_on(plan)
    scale_learned(trainables, settings.learned_scale)
    proof = prove_trained(model.network, trainables)
    save_adapter(directory / "adapter", model.network, trainables, settings, model.name)
    difference = merge_difference(model, plan, lambda: merge(model.network, trainables))
    write_jsonl(directory / "history.jsonl", (asdict(record) for record in history))
    write_json(directory / "proof.json", proof)
    (directory / CHECKPOINT).unlink(missing_ok=True)
    return {
        "steps": plan.num_steps,
        "epoch_steps": plan.epoch_steps,
        "tokens": history[-1].tokens,
        "padding_share": 1 - plan.num_tokens(plan.rows) / (len(plan.rows) * plan.row_tokens),
        "texts": {source: num_texts[source] for source in SOURCES},
        "texts_too_long": num_long,
        "loss_first": history[0].loss,
        "loss_last": history[-1].loss,
        "training_seconds": round(sum(record.seconds for record in history), 1),
        "trained_parameters": sum(int(str(row["parameters"])) for row in proof),
        "merge_difference": difference,
        "compiled": is_compiled,
        "recall_by_pass": [round(m.recall, 4) for m in measured[1:]],
        "ended": ended,
    }


@torch.no_grad()
def merge_difference(model: LoadedModel, plan: Plan, do_merge: Callable[[], None]) -> float:
    """Merge, and return by how much the hidden states changed, as a share of their size, over the first row.

    Raises TrainingError where that is more than rounding explains: the merged model would not be the trained one.
    """
    batch = next(plan.passes(plan.rows[:1], plan.row_tokens)).to(model.device)
    before = hidden_states(model.network, batch).float()
    do_merge()
    after = hidden_states(model.network, batch).float()
    difference = float((after - before).norm() / before.norm())
    limit = MERGE_TOLERANCE if next(model.network.parameters()).dtype != torch.float32 else 1e-4
    if not difference <= limit:
        raise TrainingError(
            f"The merged model differs from the trained one by {difference:.2%}, more than {limit:.2%}."
        )
    return difference

"""One training stage from examples to saved weights, as both cpt and sft run it.

model + examples → tokens on disk → plan → train → proof → adapter → merged into the model
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
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
from ishibumi.training.checkpoint import remove_checkpoints
from ishibumi.training.compiled import prepared
from ishibumi.training.distributed import rank, wait
from ishibumi.training.pace import reached
from ishibumi.training.probe import kept_apart
from ishibumi.training.saved import save_adapter
from ishibumi.training.splitting import enough_rows, split
from ishibumi.training.tokens import SOURCES, Example, Source, open_tokens, store_examples
from ishibumi.training.trainer import OnStep, StepRecord, train
from ishibumi.training.waiting import fetched

PROGRESS = "progress.jsonl"
SHARE_OF_ROW = 2  # questions that begin alike fill at most half a row, so that a step mixes documents
MERGE_TOLERANCE = 0.05  # of the hidden states' size: bf16 keeps 8 bits, and merging rounds every weight (0.01 to 0.03)


@dataclass(frozen=True)
class Mix:
    """What a stage trains on: `own` sources once an epoch, and `shares` of the tokens drawn from other sources."""

    own: Sequence[Source]
    shares: Mapping[Source, float]


def run_stage(
    model: LoadedModel,
    examples: Iterable[Example],
    mix: Mix,
    settings: TrainSettings,
    directory: Path,
    *,
    seed: int,
    on_step: OnStep,
    should_stop: Callable[[], bool],
    split_on: torch.device | None = None,
) -> dict[str, Any]:
    """Train `model` in place (adapters merged at the end) and fill `directory`; returns what the manifest keeps.

    Files: tokens, adapter/, history.jsonl (a row a step), proof.json (what trained and how far it moved); while it
    trains progress.jsonl, for whoever looks on: a step that is done again after a stop is in it twice. Of several
    processes all train and the first writes; with `split_on` each keeps a share of the weights on that device.
    """
    max_shared = settings.row_tokens // SHARE_OF_ROW
    stored = store_examples(directory, examples, settings.row_tokens, max_shared=max_shared) if rank() == 0 else None
    wait()
    if stored and not any(stored.num_texts[source] for source in mix.own):
        raise TrainingError(
            f"Nothing to train on: {stored.num_long} of {stored.num_examples} texts are longer than "
            f"row_tokens = {settings.row_tokens}.",
            hint="Raise row_tokens, or check the documents and chat.sources.",
            hint_ja="row_tokens を大きくするか、文書と chat.sources を確認してください。",
        )
    store = open_tokens(directory)
    plan = make_plan(
        store,
        own=mix.own,
        shares=mix.shares,
        epochs=settings.epochs,
        row_tokens=settings.row_tokens,
        tokens_per_step=settings.tokens_per_step,
        seed=seed,
        max_tokens=settings.max_tokens,
        answer_weight=settings.answer_weight,
        left_out=kept_apart(store, seed),
    )
    _refuse_ends_that_cannot_come(plan, settings)
    enough_rows(plan)
    trainables = attach(model.network, settings, seed)
    if split_on is not None:
        trainables = split(model.network, trainables, split_on)
    with prepared(model, trainables, plan, settings) as how, _progress(directory, on_step) as tell:
        history = train(model.network, trainables, plan, settings, directory, on_step=tell, should_stop=should_stop)
    scale_learned(trainables, settings.learned_scale)
    proof = prove_trained(model.network, trainables)
    save_adapter(directory / "adapter", model.network, trainables, settings, model.name)
    difference = merge_difference(model, plan, lambda: merge(model.network, trainables))
    if not stored:
        return {}
    trained = plan.rows[: len(history) * plan.rows_per_step]
    write_jsonl(directory / "history.jsonl", (asdict(record) for record in history))
    write_json(directory / "proof.json", proof)
    remove_checkpoints(directory)
    (directory / PROGRESS).unlink()
    return {
        "steps": len(history),
        "steps_planned": plan.num_steps,
        "epoch_steps": [step for step in plan.epoch_steps if step <= len(history)],
        "tokens": history[-1].tokens,
        "padding_share": 1 - plan.num_tokens(trained) / (len(trained) * plan.row_tokens),
        "known": history[-1].known,
        "forgotten": history[-1].forgotten,
        "ended_early": _why_early(history, settings),
        "texts": {source: stored.num_texts[source] for source in SOURCES},
        "texts_too_long": stored.num_long,
        "loss_first": history[0].loss,
        "loss_last": history[-1].loss,
        "training_seconds": round(sum(record.seconds for record in history), 1),
        "trained_parameters": sum(int(str(row["parameters"])) for row in proof),
        "merge_difference": difference,
        **how,
    }


def _refuse_ends_that_cannot_come(plan: Plan, settings: TrainSettings) -> None:
    """Raise UsageError where a share that is to end training early has nothing to be measured on."""
    has_probe = plan.left_out is not None and bool(plan.left_out.any())
    measured: dict[str, tuple[float | None, bool, str]] = {
        "stop_at_known": (settings.stop_at_known, len(plan.store.of_source("question")) > 0, "questions"),
        "stop_at_forgotten": (settings.stop_at_forgotten, has_probe, "texts of replay (ten or more)"),
    }
    for name, (value, is_there, what) in measured.items():
        if value is not None and not is_there:
            raise UsageError(
                f"{name} = {value:g} cannot end this stage: it has no {what} to measure it on.",
                hint=f"Leave {name} out, or give the stage {what}: see knowledge.generator and replay.paths.",
                hint_ja=f"{name} を外すか、knowledge.generator や replay.paths で測る文を用意してください。",
            )


def _why_early(history: Sequence[StepRecord], settings: TrainSettings) -> str:
    """What was reached at the last epoch's end before the number of steps was made smaller; "" if it never was."""
    judged = [a for a, b in itertools.pairwise(history) if b.num_steps < a.num_steps]
    return (reached(judged[0].known, judged[0].forgotten, settings) or "") if judged else ""


@contextlib.contextmanager
def _progress(directory: Path, on_step: OnStep) -> Iterator[OnStep]:
    """A function that passes a step on to `on_step` and, in the first process, adds it to progress.jsonl."""
    if rank() > 0:
        yield on_step
        return
    with (directory / PROGRESS).open("a", encoding="utf-8", buffering=1) as progress:

        def tell(record: StepRecord) -> None:
            progress.write(json.dumps(asdict(record)) + "\n")
            on_step(record)

        yield tell


@torch.no_grad()
def merge_difference(model: LoadedModel, plan: Plan, do_merge: Callable[[], None]) -> float:
    """Merge, and return by how much the hidden states changed, as a share of their size, over the first row.

    Raises TrainingError where that is more than rounding explains: the merged model would not be the trained one.
    """
    batch = next(plan.passes(plan.rows[:1], plan.row_tokens)).to(model.device)
    with fetched(model.network):
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

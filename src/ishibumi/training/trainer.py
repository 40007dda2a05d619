"""The loop that every stage shares. network + Trainables + Plan → trained weights and a history."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.func import functional_call

from ishibumi.errors import ModelError, Stopped, TrainingError
from ishibumi.memory import peak_bytes
from ishibumi.settings import TrainSettings
from ishibumi.training.adapters import Trainable
from ishibumi.training.attention import masked_attention
from ishibumi.training.batches import Plan
from ishibumi.training.checkpoint import load_checkpoint, save_checkpoint
from ishibumi.training.distributed import first_says, full, num_ranks, rank, share_of_rows, sum_gradients
from ishibumi.training.fitting import resident_bytes
from ishibumi.training.flops import flops_in_8_bits, flops_per_token, seconds_at_best
from ishibumi.training.knowing import Knowing
from ishibumi.training.optimizer import Optimizer
from ishibumi.training.pace import Pace
from ishibumi.training.probe import Probe
from ishibumi.training.steps import Figures, Moment, Steps
from ishibumi.training.vocabulary import Vocabulary

CHECKPOINT_COST_SHARE = 0.05  # of the time, at most, goes into writing checkpoints


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. `loss` is nats per learned token, `tokens` counts from the start, `seconds` is the step's.

    `utilisation` is the share of the machine's best speed that went into what the mathematics asks for (model FLOPs
    utilisation), None where that speed is not known; `peak_bytes` is memory.peak_bytes of the first process; `known`
    is Knowing's and `forgotten` Probe's (see there).
    """

    step: int
    num_steps: int
    epoch: int
    tokens: int
    loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float
    utilisation: float | None = None
    peak_bytes: int = 0
    known: float | None = None
    forgotten: float | None = None


OnStep = Callable[[StepRecord], None]


@dataclass(frozen=True)
class _Launched:
    """A step that a GPU may still be at."""

    step: int
    rows: list[list[int]]
    right: list[torch.Tensor]
    figures: Figures
    learning_rate: float
    begun: Moment


def train(
    network: nn.Module,
    trainables: list[Trainable],
    plan: Plan,
    settings: TrainSettings,
    directory: Path,
    *,
    on_step: OnStep = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[StepRecord]:
    """Train to the end of the plan, from the last checkpoint in `directory` if there is one; returns all steps.

    Raises TrainingError before the weights move if a step's loss or gradient is not finite or the first gradient does
    not reach all that is to train, and Stopped (with a checkpoint written) when `should_stop` says so. On a GPU a step
    is told while the next one runs.
    """
    device = next(network.parameters()).device
    optimizer = Optimizer(trainables, settings, resident_bytes(network, settings))
    pace = Pace(plan.num_steps, settings)
    knowing, probe = Knowing(plan.store), Probe(network, plan, settings.tokens_per_pass)
    kept = {"optimizer": optimizer, "pace": pace, "knowing": knowing, "probe": probe}
    history = _taken_up(directory, kept)
    _check_head(network, plan)
    head_VD = full(network.get_output_embeddings().weight)  # type: ignore[operator]
    sampled = settings.vocabulary_sample if not head_VD.requires_grad else 0
    vocabulary = Vocabulary(plan.store, head_VD, sampled, plan.seed) if sampled else None
    network.eval()  # no dropout: training and resuming draw no random numbers
    if not history:
        probe.look()
    words = vocabulary.of_step if vocabulary else None
    steps = Steps(network, optimizer, plan.most_learned(settings.tokens_per_pass), words)
    launched: deque[_Launched] = deque()

    work = _seconds_a_token(network, trainables, plan, len(words.ids_C) if words else None)
    saved_at, save_cost = time.monotonic(), 0.0

    def tell(num_waiting: int) -> None:
        while len(launched) > num_waiting:
            history.append(_record(launched.popleft(), plan, pace, knowing, probe, history, work, device))
            on_step(history[-1])

    step = len(history)
    while step < pace.num_steps:
        begun = Moment(device)
        rows = plan.rows_of_step(step)
        if vocabulary:
            vocabulary.words(step)
        mine = plan.passes(share_of_rows(rows), settings.tokens_per_pass, num_ranks())
        right = steps.gradients(mine, plan.weight_sum(rows))
        if step == 0 and (untouched := optimizer.untouched()):
            raise _not_reached(untouched)
        sum_gradients(optimizer.masters, steps.loss)
        rate = pace.rate(step)
        launched.append(_Launched(step, rows, right, steps.move(rate), settings.learning_rate * rate, begun))
        step += 1
        is_epoch_end = step in plan.epoch_steps
        if is_epoch_end:
            probe.look()
        tell(num_waiting=1 if device.type == "cuda" and not is_epoch_end else 0)
        if is_epoch_end:
            pace.judge(step, knowing.known, probe.forgotten)
        is_due = time.monotonic() - saved_at > max(settings.checkpoint_seconds, save_cost / CHECKPOINT_COST_SHARE)
        stopping = first_says(should_stop())
        if stopping or (first_says(is_due) and step < pace.num_steps):
            tell(num_waiting=0)
            began = time.monotonic()
            state = {"history": [asdict(r) for r in history]} | {name: part.state() for name, part in kept.items()}
            if rank() == 0:
                save_checkpoint(directory, state, step=step, kept=settings.checkpoints_kept)
            del state  # of split matrices it is a copy
            saved_at, save_cost = time.monotonic(), time.monotonic() - began
        if stopping:
            raise _stopped(step, pace.num_steps)
    tell(num_waiting=0)
    return history


def _taken_up(directory: Path, kept: Mapping[str, Optimizer | Pace | Knowing | Probe]) -> list[StepRecord]:
    """The steps of the last checkpoint, whose state all parts of training take up; none where there is none."""
    state = load_checkpoint(directory)
    if state is None:
        return []
    for name, part in kept.items():
        part.load_state(state[name])
    return [StepRecord(**row) for row in state["history"]]


def _seconds_a_token(
    network: nn.Module, trainables: Sequence[Trainable], plan: Plan, num_words: int | None
) -> float | None:
    """What a token takes at the best speed of all machines together; None where that is not known."""
    device = next(network.parameters()).device
    flops = flops_per_token(network, trainables, plan.row_tokens, num_words, plan.learned_share)
    at_best = seconds_at_best(flops, flops_in_8_bits(network), device, network.dtype)  # type: ignore[arg-type]
    return at_best and at_best / num_ranks()


def _record(
    launched: _Launched,
    plan: Plan,
    pace: Pace,
    knowing: Knowing,
    probe: Probe,
    history: list[StepRecord],
    work: float | None,
    device: torch.device,
) -> StepRecord:
    """What became of a step, once it is done; `work` is the seconds that a token takes at the machine's best speed.

    Raises TrainingError where its loss or gradient is not finite.
    """
    loss, gradient_norm = launched.figures.read()
    if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
        raise _not_finite(launched.step, loss, gradient_norm, plan.document_ids(launched.rows))
    num_tokens = plan.num_tokens(launched.rows)
    knowing.see(share_of_rows(launched.rows), launched.right)
    seconds = launched.figures.arrived.seconds_since(launched.begun)
    return StepRecord(
        step=launched.step + 1,
        num_steps=pace.num_steps,
        epoch=1 + sum(end <= launched.step for end in plan.epoch_steps),
        tokens=(history[-1].tokens if history else 0) + num_tokens,
        loss=loss,
        gradient_norm=gradient_norm,
        learning_rate=launched.learning_rate,
        seconds=seconds,
        utilisation=work and num_tokens * work / seconds,
        peak_bytes=peak_bytes(device),
        known=knowing.known,
        forgotten=probe.forgotten,
    )


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def _check_head(network: nn.Module, plan: Plan) -> None:
    """Refuse a model whose logits are not hidden · headᵀ (soft-capped or scaled ones), or whose head has a bias."""
    device = next(network.parameters()).device
    ids_BT = torch.from_numpy(plan.store.example(0)[0][:8].astype("int64"))[None].to(device)
    head_VD = full(network.get_output_embeddings().weight)  # type: ignore[operator]
    with_head = {"lm_head.weight": head_VD}  # of a split model the tied head is in pieces by then
    inputs = {"input_ids": ids_BT, "use_cache": False}
    with masked_attention(network):
        theirs = functional_call(network, with_head, kwargs=inputs, tie_weights=False).logits.float()
        hidden = network.base_model(**inputs).last_hidden_state  # type: ignore[operator]
    ours = (hidden @ head_VD.T).float()
    if not torch.allclose(ours, theirs, rtol=0.02, atol=0.05 * float(theirs.abs().max())):
        raise ModelError(
            f"{type(network).__name__} changes its logits after the head, which ishibumi's loss does not do.",
            hint="Use a Llama, Qwen or Gemma 3 model.",
            hint_ja="Llama、Qwen、Gemma 3 系のモデルを使ってください。",
        )


def _stopped(step: int, num_steps: int) -> Stopped:
    return Stopped(
        f"Stopped after step {step} of {num_steps}.",
        hint="The same command goes on from here.",
        hint_ja="同じコマンドを実行すると、ここから続けます。",
    )


def _not_reached(names: list[str]) -> TrainingError:
    return TrainingError(
        f"No gradient reaches {len(names)} of the modules that are to train, such as {names[0]}.",
        hint="They play no part in text, as the layers for images do: name the others in full in targets.",
        hint_ja="画像用の層など、文章の計算に使われないモジュールです。"
        "targets には、ほかのモジュールを正式な名前で指定してください。",
    )


def _not_finite(step: int, loss: float, gradient_norm: float, document_ids: list[str]) -> TrainingError:
    return TrainingError(
        f"Step {step + 1}: loss {loss}, gradient norm {gradient_norm}; the weights were not changed. "
        f"Documents in this step: {', '.join(document_ids[:8]) or 'none'}.",
        hint="Lower the learning rate, or look at these documents with: ishibumi show",
        hint_ja="学習率を下げるか、ishibumi show でこれらの文書を確認してください。",
    )

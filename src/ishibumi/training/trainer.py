"""The loop that every stage shares. network + Trainables + Plan → trained weights and a history."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ishibumi.errors import ModelError, Stopped, TrainingError
from ishibumi.settings import TrainSettings
from ishibumi.training.adapters import Trainable
from ishibumi.training.attention import hidden_states
from ishibumi.training.batches import Batch, Plan
from ishibumi.training.checkpoint import load_checkpoint, save_checkpoint
from ishibumi.training.kl import replay_kl_sum
from ishibumi.training.loss import cross_entropy_sum
from ishibumi.training.optimizer import Optimizer, share_of_peak
from ishibumi.training.vocabulary import Vocabulary, Words

CHECKPOINT_COST_SHARE = 0.05  # of the time, at most, goes into writing checkpoints


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. `loss` is nats per learned token, `tokens` counts from the start, `seconds` is the step's."""

    step: int
    num_steps: int
    epoch: int
    tokens: int
    loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float


OnStep = Callable[[StepRecord], None]


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

    A pass of a longer schedule (plan.total_steps) leaves a checkpoint at its end.
    Raises TrainingError before the weights move if a step's loss or gradient is not finite or the first gradient does
    not reach all that is to train, and Stopped (with a checkpoint written) when `should_stop` says so.
    """
    device = next(network.parameters()).device
    optimizer = Optimizer(trainables, settings)
    history: list[StepRecord] = []
    if state := load_checkpoint(directory, device):
        optimizer.load_state(state["optimizer"])
        history = [StepRecord(**row) for row in state["history"]]
    _check_head(network, plan)
    head_VD = network.get_output_embeddings().weight  # type: ignore[operator]
    sampled = settings.vocabulary_sample if not head_VD.requires_grad else 0
    vocabulary = Vocabulary(plan.store, head_VD, sampled, plan.seed) if sampled else None
    network.eval()  # no dropout: training and resuming draw no random numbers
    saved_at, save_cost = time.monotonic(), 0.0
    num_steps = plan.total_steps or plan.num_steps
    for step in range(len(history), plan.num_steps):
        started = time.monotonic()
        rows = plan.rows_of_step(step)
        weight_sum = plan.weight_sum(rows)
        loss = 0.0
        words = vocabulary.words(step) if vocabulary else None
        for batch in plan.passes(rows, settings.tokens_per_pass):
            batch = batch.to(device)
            hidden_RTD = hidden_states(network, batch)
            nll_sum = nll_sum_of(network, hidden_RTD, batch, words)
            total = nll_sum
            if plan.kl_weight:
                total = nll_sum + plan.kl_weight * replay_kl_sum(network, trainables, batch, hidden_RTD, words)
            (total / weight_sum).backward()
            optimizer.collect_gradients()
            loss += float(nll_sum.detach()) / weight_sum
        if step == 0 and (untouched := optimizer.untouched()):
            raise _not_reached(untouched)
        gradient_norm = optimizer.clip()
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            raise _not_finite(step, loss, gradient_norm, plan.document_ids(rows))
        rate_share = share_of_peak(step, num_steps, settings)
        optimizer.step(rate_share)

        done = history[-1].tokens if history else 0
        record = StepRecord(
            step=step + 1,
            num_steps=num_steps,
            epoch=1 + sum(end <= step for end in plan.epoch_steps),
            tokens=done + plan.num_tokens(rows),
            loss=loss,
            gradient_norm=gradient_norm,
            learning_rate=settings.learning_rate * rate_share,
            seconds=time.monotonic() - started,
        )
        history.append(record)
        on_step(record)
        is_due = time.monotonic() - saved_at > max(settings.checkpoint_seconds, save_cost / CHECKPOINT_COST_SHARE)
        stopping = should_stop()
        is_end_of_pass = plan.total_steps > 0 and step + 1 == plan.num_steps
        if stopping or is_end_of_pass or (is_due and step + 1 < num_steps):
            began = time.monotonic()
            save_checkpoint(directory, {"optimizer": optimizer.state(), "history": [asdict(r) for r in history]})
            saved_at, save_cost = time.monotonic(), time.monotonic() - began
        if stopping:
            raise Stopped(
                f"Stopped after step {step + 1} of {num_steps}.",
                hint="The same command goes on from here.",
                hint_ja="同じコマンドを実行すると、ここから続けます。",
            )
    return history


def batch_nll_sum(network: nn.Module, batch: Batch, words: Words | None = None) -> torch.Tensor:
    """Summed negative log-likelihood of a batch's learned tokens, each predicted from the token before it."""
    return nll_sum_of(network, hidden_states(network, batch), batch, words)


def nll_sum_of(network: nn.Module, hidden_RTD: torch.Tensor, batch: Batch, words: Words | None) -> torch.Tensor:
    """The same from the batch's hidden states; it is normalised over `words`, or over the whole vocabulary."""
    weights_RT = batch.weights_RT[:, 1:]
    is_learned_RT = weights_RT > 0
    head_VD = network.get_output_embeddings().weight  # type: ignore[operator]
    hidden_ND, targets_N = hidden_RTD[:, :-1][is_learned_RT], batch.ids_RT[:, 1:][is_learned_RT]
    weights_N = weights_RT[is_learned_RT]
    if words is None:
        return cross_entropy_sum(hidden_ND, head_VD, targets_N, weights_N)
    return cross_entropy_sum(hidden_ND, words.head_CD, words.places_of(targets_N), weights_N, words.log_counts_C)


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def _check_head(network: nn.Module, plan: Plan) -> None:
    """Refuse a model whose logits are not hidden · headᵀ (soft-capped or scaled ones), or whose head has a bias."""
    device = next(network.parameters()).device
    ids_BT = torch.from_numpy(plan.store.example(0)[0][:8].astype("int64"))[None].to(device)
    theirs = network(input_ids=ids_BT, use_cache=False).logits.float()
    hidden = network.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state  # type: ignore[operator]
    ours = (hidden @ network.get_output_embeddings().weight.T).float()  # type: ignore[operator]
    if not torch.allclose(ours, theirs, rtol=0.02, atol=0.05 * float(theirs.abs().max())):
        raise ModelError(
            f"{type(network).__name__} changes its logits after the head, which ishibumi's loss does not do.",
            hint="Use a Llama, Qwen or Gemma 3 model.",
            hint_ja="Llama、Qwen、Gemma 3 系のモデルを使ってください。",
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

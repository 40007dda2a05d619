"""Common sense that may be lost: multiple choice by log-likelihood. rows of JCommonsenseQA → [Choice] → right or wrong.

    {"q_id": 8942, "question": "水を出すときに捻るものは？", "choice0": "蛇口", …, "choice4": "食器棚", "label": 0}

The likeliest choice is taken as the answer, each as it would follow worked examples and the question; no instruction is
needed, so base and chat model are measured alike.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ishibumi.artifacts import read_jsonl
from ishibumi.corpus.clean import language_of
from ishibumi.errors import InputError
from ishibumi.exam.evaluate import few_shot_text
from ishibumi.exam.forgetting import text_ids, tokens_at_once
from ishibumi.exam.questions import Question
from ishibumi.models.generate import left_padded
from ishibumi.models.load import LoadedModel


@dataclass(frozen=True)
class Choice:
    """A question with its choices and the number of the right one."""

    id: str
    question: str
    choices: tuple[str, ...]
    label: int


def read_choices(path: Path, count: int, seed: int) -> list[Choice]:
    """`count` of the file's questions, drawn by seed. Raises InputError for a file of another format."""
    try:
        rows = read_jsonl(path)
        found = [
            Choice(str(r["q_id"]), r["question"], tuple(r[f"choice{i}"] for i in range(5)), int(r["label"]))
            for r in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no file of choices as JCommonsenseQA has them: {error!r}",
            hint="A line needs q_id, question, choice0 to choice4 and label, 0 to 4.",
            hint_ja="1行に q_id、question、choice0 から choice4、label（0〜4）が必要です。",
        ) from None
    return random.Random(f"{seed} choices").sample(found, min(count, len(found)))


def answer_choices(model: LoadedModel, questions: Sequence[Choice], num_shots: int) -> dict[str, bool]:
    """Question id → whether the right choice is the likeliest."""
    rows: list[tuple[list[int], int]] = []
    for question in questions:
        asked = Question("", "", language_of(question.question), question.question, "", (), "")
        prompt = text_ids(model, few_shot_text(asked, num_shots))
        for choice in question.choices:
            ids = list(model.tokenizer(f" {choice}\n", add_special_tokens=False)["input_ids"])
            rows.append((prompt + ids, len(ids)))
    scores = iter(logprobs_of_ends(model, rows))
    of_question = {q.id: [next(scores) for _ in q.choices] for q in questions}
    return {q.id: max(range(len(q.choices)), key=lambda i: of_question[q.id][i]) == q.label for q in questions}


def logprobs_of_ends(model: LoadedModel, rows: Sequence[tuple[list[int], int]]) -> list[float]:
    """For each (ids, n) the log-probability (nats) of the last n tokens after those before them."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    size = max(1, 4 * tokens_at_once(model, 4096) // max(len(ids) for ids, _ in rows))
    found: dict[int, float] = {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        found |= zip(batch, _batch_logprobs(model, [rows[i] for i in batch]), strict=True)
    return [found[i] for i in range(len(rows))]


@torch.inference_mode()
def _batch_logprobs(model: LoadedModel, rows: Sequence[tuple[list[int], int]]) -> list[float]:
    """The rows end together, so only the logits of their last tokens are made."""
    longest = max(n for _, n in rows)
    ids_BT, mask_BT = left_padded([ids for ids, _ in rows], model.device)
    positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    logits_BNV = model.network(
        input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False, logits_to_keep=longest + 1
    ).logits[:, :-1]
    targets_BN = ids_BT[:, -longest:]
    found: list[float] = []
    for logits_NV, targets_N, (_, n) in zip(logits_BNV, targets_BN, rows, strict=True):
        logprobs_NV = logits_NV[-n:].float().log_softmax(-1)
        found.append(float(logprobs_NV.gather(-1, targets_N[-n:, None]).sum()))
    return found

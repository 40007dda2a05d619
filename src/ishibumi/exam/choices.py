"""Common sense that may be lost: multiple choice by log-likelihood. rows of JCommonsenseQA → [Choice] → right or wrong.

    {"q_id": 8942, "question": "水を出すときに捻るものは？", "choice0": "蛇口", …, "choice4": "食器棚", "label": 0}

The likeliest choice is taken as the answer, each as it would follow worked examples and the question; no instruction is
needed, so base and chat model are measured alike.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from ishibumi.corpus.clean import language_of
from ishibumi.exam.evaluate import few_shot_text
from ishibumi.exam.forgetting import text_ids, tokens_at_once
from ishibumi.exam.questions import Question
from ishibumi.exam.strict_rows import StrictRow, rows_by_id
from ishibumi.models.load import LoadedModel
from ishibumi.models.rows import left_padded

EXAMPLE = (
    '{"q_id": 8942, "question": "水を出すときに捻るものは？", "choice0": "蛇口", "choice1": "流し", '
    '"choice2": "釘", "choice3": "棚", "choice4": "窓", "label": 0}'
)
_Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Choice:
    """A question with its choices and the number of the right one."""

    id: str
    question: str
    choices: tuple[str, ...]
    label: int


class _Row(StrictRow):
    """A row of JCommonsenseQA."""

    id: int | str | None = Field(alias="q_id")
    question: _Text
    choice0: _Text
    choice1: _Text
    choice2: _Text
    choice3: _Text
    choice4: _Text
    label: int = Field(ge=0, le=4)


def read_choices(path: Path, count: int, seed: int) -> list[Choice]:
    """`count` of the file's questions, drawn by seed. Raises InputError, with file and line, for a malformed row."""
    found = [
        Choice(name, row.question, (row.choice0, row.choice1, row.choice2, row.choice3, row.choice4), row.label)
        for name, row in rows_by_id(path, _Row, EXAMPLE).items()
    ]
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

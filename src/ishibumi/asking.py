"""Asks the model in training what it knows already: its training questions, never the exam's. → Measured by pass."""

import random
from collections.abc import Sequence

from ishibumi.config import Run
from ishibumi.corpus.documents import Document
from ishibumi.errors import UsageError
from ishibumi.exam.evaluate import run_arm
from ishibumi.exam.forgetting import perplexity
from ishibumi.exam.questions import Question
from ishibumi.knowledge.items import Item
from ishibumi.knowledge.open_questions import OPEN
from ishibumi.models.load import LoadedModel
from ishibumi.training.until import Measured, Passes

HELD_OUT = 10  # one replay text in so many is kept from training, to measure forgetting


def passes_of(
    run: Run, model: LoadedModel, documents: Sequence[Document], items: Sequence[Item], held_out: Sequence[str]
) -> Passes | None:
    """How the stage cpt is cut and asked; None where cpt.passes is 1.

    Raises UsageError where there is nothing to ask or to measure by.
    """
    cpt, by_id = run.settings.cpt, {d.id: d for d in documents}
    if cpt.passes == 1:
        if cpt.target_recall or cpt.max_perplexity_ratio:
            raise UsageError(
                "cpt.target_recall and cpt.max_perplexity_ratio are looked at after a pass, but cpt.passes is 1.",
                hint="Set cpt.passes = 4, or leave these out.",
                hint_ja="cpt.passes = 4 のように分けるか、これらの設定を外してください。",
            )
        return None

    def measure(number: int) -> Measured:
        known = perplexity(model, held_out).value if held_out else None
        if number == 0:
            return Measured({}, 0.0, known)
        asked = sample(items, cpt.asked, f"{run.settings.seed} {number}")
        questions = [
            Question("", i.document_id, by_id[i.document_id].language, i.text, i.answer, (), "") for i in asked
        ]
        right: dict[str, list[bool]] = {}
        for answer in run_arm("engraved", model, questions, by_id, run.settings.exam):
            right.setdefault(answer.document_id, []).append(answer.contains)
        recall = sum(sum(of) for of in right.values()) / len(questions)
        return Measured({name: sum(of) / len(of) for name, of in right.items()}, recall, known)

    if not sample(items, 1, ""):
        raise UsageError(
            "cpt.passes asks training questions, but none were made.",
            hint="Set knowledge.generator and knowledge.wordings_per_fact, or cpt.passes = 1.",
            hint_ja="knowledge.generator と knowledge.wordings_per_fact を設定するか、cpt.passes = 1 にしてください。",
        )
    return Passes(cpt.passes, measure, cpt.target_recall, cpt.max_perplexity_ratio)


def hold_out_replay(run: Run, replay: Sequence[str]) -> tuple[list[str], list[str]]:
    """Replay texts to train on and those to measure forgetting by, if cpt.max_perplexity_ratio is set."""
    if run.settings.cpt.max_perplexity_ratio is None:
        return list(replay), []
    if len(replay) < 2:
        raise UsageError(
            f"cpt.max_perplexity_ratio is measured on replay texts kept from training, but there are {len(replay)}.",
            hint="Set replay.paths to general text.",
            hint_ja="replay.paths に一般の文章を指定してください。",
        )
    return [text for i, text in enumerate(replay) if i % HELD_OUT], list(replay[::HELD_OUT])


def sample(items: Sequence[Item], count: int, seed: str) -> list[Item]:
    """`count` questions, as many of each document as of any other while there are any."""
    draw = random.Random(f"{seed} asked")
    of_document: dict[str, list[Item]] = {}
    for item in items:
        if item.kind == "question" and item.rule != OPEN:
            of_document.setdefault(item.document_id, []).append(item)
    rounds = [draw.sample(group, len(group)) for group in of_document.values()]
    draw.shuffle(rounds)
    longest = max(map(len, rounds), default=0)
    return [group[n] for n in range(longest) for group in rounds if n < len(group)][:count]

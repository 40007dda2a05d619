"""Shapes of generated questions that are kept out of training, for runs without an exam. [Item] → (kept, held out).

The rule that made a question is its shape. Whole shapes are kept back, so that their wording is nowhere in training;
they still come from the same rules, and an exam of them flatters the model.
"""

import random
from collections import Counter
from collections.abc import Sequence

from ishibumi.knowledge.items import Item, is_open
from ishibumi.knowledge.leaks import language_of, remove_leaks

WHOLE = 200  # tokens: no question has as many, so that only a whole one counts as repeated


def hold_out(items: Sequence[Item], *, share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """(kept for training, held out): in each language, shapes drawn at random up to `share` of its questions.

    Where every shape is larger than that, the smallest is held out; a language with a single shape keeps all. What is
    kept repeats no question that is held out.
    """
    if not share:
        return list(items), []
    questions = [item for item in items if item.kind == "question" and not is_open(item)]
    shapes = {
        (language, rule)
        for language in ("en", "ja")
        for rule in _shapes([q.rule for q in questions if language_of(q.text) == language], share, seed)
    }
    held = [item for item in questions if (language_of(item.text), item.rule) in shapes]
    chosen = set(held)
    rest = [item for item in items if item not in chosen]
    return remove_leaks(rest, [item.text for item in held], n=WHOLE)[0], held


def _shapes(rules: Sequence[str], share: float, seed: int) -> list[str]:
    sizes = Counter(rules)
    room = share * len(rules)
    chosen: list[str] = []
    for rule in random.Random(f"{seed} held-out shapes").sample(sorted(sizes), len(sizes)):
        if sizes[rule] <= room:
            chosen.append(rule)
            room -= sizes[rule]
    return chosen if chosen or len(sizes) < 2 else [min(sorted(sizes), key=lambda rule: sizes[rule])]

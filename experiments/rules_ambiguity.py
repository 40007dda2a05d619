"""How many questions of an items.jsonl have several right answers, by language and rule. Files → a table and samples.

python experiments/rules_ambiguity.py ITEMS.jsonl …

«asked with another answer»: the same question elsewhere. «fits another fact»: keywords that all stand in the sentence
or the keywords of another fact which the same question word asks for.
"""

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from ishibumi.artifacts import read_jsonl
from ishibumi.knowledge.ambiguous import KEYWORDS, are_one, asked_for, keywords_of, without_two_answers
from ishibumi.knowledge.items import Item, is_unknown
from ishibumi.knowledge.leaks import language_of

NUM_SAMPLES = 4


def main() -> None:
    """Print the table of each file."""
    for path in map(Path, sys.argv[1:]):
        items = [Item(**row) for row in read_jsonl(path)]
        questions = [item for item in items if item.kind == "question" and not is_unknown(item)]
        kept = set(without_two_answers(questions))
        doubtful = [item for item in questions if item not in kept]
        loose = fitting_others(questions)
        made, several = (Counter((language_of(i.text), i.rule) for i in group) for group in (questions, doubtful))
        num_keywords = sum(i.rule == KEYWORDS for i in questions)
        print(f"{path}: {len(doubtful):,} of {len(questions):,} questions asked with another answer,")
        print(f"  {len(loose):,} of {num_keywords:,} keyword questions fit another fact")
        for (language, rule), count in sorted(made.items()):
            print(f"  {language} {rule:12} {several[language, rule]:6,} of {count:6,}")
        for item in random.Random(1).sample(doubtful, min(NUM_SAMPLES, len(doubtful))):
            given = dict.fromkeys(i.answer[:40] for i in doubtful if asked_for(i) == asked_for(item))
            print(f"    {item.text} → {' | '.join(list(given)[:4])} ({len(given)} answers)")
        for item in random.Random(1).sample(loose, min(NUM_SAMPLES, len(loose))):
            print(f"    fits another: {item.text} → {item.answer}")


def fitting_others(questions: Sequence[Item]) -> list[Item]:
    """The keyword questions whose words all belong to another fact too, which has another answer."""
    told: dict[str, dict[tuple[str, str], str]] = defaultdict(lambda: defaultdict(str))
    asked = [(item, keywords_of(item.text)) for item in questions if item.rule == KEYWORDS]
    for item, words in asked:
        told[words[-1]][item.document_id, item.answer] += " ".join([*words, item.evidence.lower(), ""])
    found: list[Item] = []
    for item, words in asked:
        for (_, answer), text in told[words[-1]].items():
            if all(word in text for word in words[:-1]) and not are_one({item.answer, answer}):
                found.append(item)
                break
    return found


if __name__ == "__main__":
    main()

"""Shares right by wording, where questions were made of templates. Answers of variants.py about the World Cup → lines.

python experiments/by_wording.py OUT.answers.jsonl QUESTIONS.jsonl      # of whole_world_cup.py
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

from whole_world_cup import ASK_CLUB, ASK_NUMBER, ASK_PLACE, ASK_SCORE

from ishibumi.artifacts import read_jsonl
from ishibumi.exam.grade import contains_answer
from ishibumi.exam.questions import read_questions


def main() -> None:
    """Print «kept template right / asked» for each template, the worst last."""
    templates = {_pattern(form): form for form in (*ASK_CLUB, *ASK_NUMBER, *ASK_PLACE, *ASK_SCORE)}
    asked = {question.question: question for question in read_questions([Path(sys.argv[2])])}
    found: dict[tuple[float, str], list[bool]] = defaultdict(list)
    for row in read_jsonl(Path(sys.argv[1])):
        if "answer" in row and row["answer"][1] in asked:
            _, text, _, reply = row["answer"][:4]
            form = next(form for pattern, form in templates.items() if pattern.fullmatch(text))
            found[row["kept"], form].append(contains_answer(reply, asked[text]))
    for (kept, form), right in sorted(found.items(), key=lambda entry: (entry[0][0], -sum(entry[1]) / len(entry[1]))):
        print(kept, f"{sum(right) / len(right):.0%}", f"{sum(right)}/{len(right)}", form, sep="\t")


def _pattern(form: str) -> re.Pattern[str]:
    """The regular expression of a template."""
    return re.compile(".+".join(map(re.escape, re.split(r"\{\w+\}", form))))


if __name__ == "__main__":
    main()

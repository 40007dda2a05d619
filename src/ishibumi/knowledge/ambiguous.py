"""Questions with several right answers: [Item] → those with one. What is asked of 48 teams alike teaches noise.

Two questions are one if they ask the same: keywords in any order, any form of the date, whether the words that say
which document is meant stand before the question or behind it.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from ishibumi.knowledge.asking import CONTEXTS
from ishibumi.knowledge.checks import comparable, figures
from ishibumi.knowledge.english import MONTH
from ishibumi.knowledge.items import Item, is_unknown
from ishibumi.knowledge.leaks import language_of
from ishibumi.knowledge.story import FORMS

KEYWORDS = "keywords"
_YEAR = re.compile(r"(?<!\d)\d{4}年(?=\d{1,2}月\d{1,2}日)")
_DATE = re.compile(rf"({MONTH}) (\d{{1,2}}), \d{{4}}")


def _as_pattern(form: str) -> re.Pattern[str]:
    """The regular expression of a form with {names}."""
    parts = re.split(r"\{(\w+)\}", form)
    return re.compile("".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)))


_PLACED = {language: tuple(map(_as_pattern, dict.fromkeys(forms))) for language, forms in CONTEXTS.items()}
_NAMED = {
    language: re.compile(
        "|".join(
            _as_pattern(form).pattern.replace("<n>.+?", f"<n{i}>[^。、:,?()]+").replace("<when>", f"<when{i}>")
            for i, form in enumerate(forms[2])
        )
    )
    for language, forms in FORMS.items()
}


def asked_for(item: Item) -> str:
    """What the question asks, the same for all wordings that differ in nothing but order and dress."""
    text = _DATE.sub(r"\2 \1", _YEAR.sub("", unicodedata.normalize("NFKC", item.text)))
    if item.rule == KEYWORDS:
        return " ".join(sorted(keywords_of(text)))
    language = language_of(text)
    for form in _PLACED[language]:
        if found := form.fullmatch(text):
            text = f"{found['q']} {_named(found['n'], language)}"
            break
    return comparable(text)


def keywords_of(text: str) -> list[str]:
    """The words of a question in keywords, the last of them the question word."""
    return re.findall(r"[^\s、,?]+", re.sub(r"(?:です)?か(?:教えてください。)?\??$", "", text.lower()))


def _named(subject: str, language: str) -> str:
    """«the news of 2 June about Spain» as «2 June Spain»."""
    return _NAMED[language].sub(lambda m: " ".join(sorted(g for g in m.groups() if g)), subject)


def without_two_answers(items: Sequence[Item]) -> list[Item]:
    """The items without questions to which another item, of whatever document, gives another answer.

    A longer form of an answer (the full name, the date with its year) is no other one. What has no answer is not asked.
    """
    answers: dict[str, set[str]] = defaultdict(set)
    asked = [asked_for(i) if i.kind == "question" and not is_unknown(i) else "" for i in items]
    for item, question in zip(items, asked, strict=True):
        if question:
            answers[question].add(item.answer)
    doubtful = {question for question, given in answers.items() if not are_one(given)}
    return [item for item, question in zip(items, asked, strict=True) if question not in doubtful]


def are_one(answers: set[str]) -> bool:
    """Whether each answer is a part of the longest, with no figure of its own."""
    longest = max(answers, key=len)
    return all(comparable(a) in comparable(longest) and figures(a) <= figures(longest) for a in answers)

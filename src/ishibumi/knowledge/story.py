"""What the rules know of a document, in either language: Document → Story of facts, each with questions about it.

Readers of Japanese and English (read_ja, read_en) make it; asking.py and views.py use it without looking at grammar.
"""

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ishibumi.corpus.dates import format_date

FORMS = {
    "ja": (
        ("{a}対{b}", "{a}対{b}戦", "{a}と{b}の対戦"),
        "{when}の{n}",
        ("{when}の{n}についての記事", "{n}に関する{when}のニュース"),
        "{a}と{b}についての文章",
        ("「{t}」という記事", "『{t}』"),
    ),
    "en": (
        ("{a} v {b}", "the match between {a} and {b}", "the {a}–{b} game"),
        "{n} on {when}",
        ("the report of {when} on {n}", "the news of {when} about {n}"),
        "the text about {a} and {b}",
        ("the report “{t}”", "the article “{t}”"),
    ),
}
NAMED = ("country", "organisation", "side", "person", "name", "place")
SIDES = (("country",), ("side", "name", "place"), ("organisation",))  # the first surely, others in the title
NUM_MAIN = 3
NUMBER_KINDS = ("number", "label", "time", "minute", "count", "percent", "money")
NUM_NEAR = 6
BY_NAME = "by_name"  # the rule of questions that name their subject


@dataclass(frozen=True)
class Wording:
    """A question that lacks only its context; `told` is the same fact as a statement that ends with the answer."""

    rule: str
    text: str
    told: str = ""


@dataclass(frozen=True)
class Fact:
    """Something to ask for: where it stands, the question word that stands for it, and ways to ask.

    `hole` is the sentence, or the part around it, with a hole in the answer's place; `near` are words that belong to
    this answer and to no other of the sentence, the nearest first.
    """

    sentence: str
    answer: str
    kind: str
    word: str
    hole: str
    near: tuple[str, ...] = ()
    wordings: tuple[Wording, ...] = ()


@dataclass(frozen=True)
class Story:
    """A document as its reader understood it. `subjects` are noun phrases that tell it from other documents."""

    language: str
    title: str
    statements: tuple[str, ...]
    facts: tuple[Fact, ...]
    main: tuple[str, ...]
    subjects: tuple[str, ...]
    source: str


def make_story(
    language: str, title: str, date: dt.date | None, statements: Sequence[str], facts: Sequence[Fact], text: str
) -> Story:
    """The story with what it is about: its main names, and noun phrases made of them, the title and the date."""
    counts: Counter[tuple[str, str]] = Counter()
    for fact in facts:
        if fact.kind in NAMED:
            counts[fact.answer, fact.kind] += 2
    for name, kind in counts:
        counts[name, kind] += 4 * (name in title) + 2 * (name in facts[0].sentence) - (kind == "place")
    ranked = [key for key, _ in counts.most_common()]
    sides = _sides(ranked, title) if any(fact.kind == "score" for fact in facts) else ()
    listed = {fact.sentence for fact in facts if any(w.rule == BY_NAME for w in fact.wordings)}
    if 2 * len(listed) > len({fact.sentence for fact in facts}):  # a name of a list is one of many
        ranked = [key for key in ranked if key[0] in title + facts[0].sentence] or ranked
    main = sides or tuple(name for name, _ in ranked[:NUM_MAIN])
    dates: list[str] = []
    if date:
        short = f"{date.month}月{date.day}日" if language == "ja" else f"{date.day} {date:%B}"
        dates = [short, format_date(date, language)]
    subjects = _subjects(language, title, dates, main, sides)
    source = "\n".join([title, text, *dates])
    return Story(language, title, tuple(dict.fromkeys(statements)), _unambiguous(facts), main, subjects, source)


def _unambiguous(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """The facts without wordings that would ask for another fact as well."""
    answers = {(w.text, fact.answer) for fact in facts for w in fact.wordings}
    num_answers = Counter(text for text, _ in answers)
    return tuple(replace(f, wordings=tuple(w for w in f.wordings if num_answers[w.text] == 1)) for f in facts)


def _sides(ranked: Sequence[tuple[str, str]], title: str) -> tuple[str, ...]:
    """The two sides of a contest: the first two names of one kind, those of the title before others."""
    for kinds in SIDES:
        found = [name for name, kind in ranked if kind == kinds[0] or (kind in kinds and name in title)]
        if "organisation" in kinds and not any(name in title for name in found):
            continue
        found.sort(key=lambda name: name not in title)
        if len(found) > 1 and any((name, kinds[0]) in ranked for name in found[:2]):
            return tuple(found[:2])
    return ()


def _subjects(
    language: str, title: str, dates: Sequence[str], main: Sequence[str], sides: Sequence[str]
) -> tuple[str, ...]:
    """Noun phrases that say which document is meant: both sides, the title, the date with a name."""
    pairs, dated, named, undated, titled = FORMS[language]
    found = [form.format(a=a, b=b) for a, b in itertools.permutations(sides) for form in pairs] if sides else []
    found += [dated.format(when=when, n=n) for n in found for when in dates]
    found += [form.format(n=n, when=when) for n in main for when in dates for form in named]
    found += [undated.format(a=a, b=b) for a, b in itertools.combinations(main, 2) if not dates]
    is_topic = not dates and 0 < len(title) <= 30 and not set(title) & set("、。!！?？:")
    found += [title] if is_topic else []
    return tuple(dict.fromkeys([*found, *(form.format(t=title) for form in titled if title)]))


def alike(a: str, b: str) -> bool:
    """Whether a question for the one kind could be meant for the other."""
    return a == b or (a in NUMBER_KINDS and b in NUMBER_KINDS) or (not {a, b} & {*NUMBER_KINDS, "date", "score"})


def own_words(words: list[tuple[str, int]], at: int, rivals: list[int]) -> tuple[str, ...]:
    """Of (word, place), those nearer to `at` than to a rival's place, the nearest first."""
    own = [(abs(i - at), w) for w, i in words if all(abs(i - at) < abs(i - r) for r in rivals)]
    return tuple(dict.fromkeys(w for _, w in sorted(own)))[:NUM_NEAR]

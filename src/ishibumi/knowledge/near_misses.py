"""Questions that no document answers, made from those that one does: a name or a date becomes another document's.

    6月28日のイングルウッドの試合で決めたのは誰？    →    7月2日のイングルウッドの試合で決めたのは誰？    分かりません

They look like any other question, so that only who knows what goes together can tell them. There are many, and hardly
any is trained twice: learned by heart they would teach nothing (docs/concepts/knowledge.md).
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.checks import comparable, figures
from ishibumi.knowledge.items import REFUSALS, UNKNOWN, Item, is_open, is_unknown

RULE = f"swapped:{UNKNOWN}"
PER_QUESTION = 4
MOST = 40_000  # of a run
TRIES = 6  # other names that are tried in one place
AROUND = 2  # characters after a name that one in its place must have stood before, in some question

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(rf"(?:\d{{1,2}}月\d{{1,2}}日|\d{{1,2}} (?:{_MONTHS})|(?:{_MONTHS}) \d{{1,2}})(?!\d)")
_NAME = re.compile(r"[ァ-ヺ一-鿿]|[A-ZÀ-Þ][^\W\d_]+")
_MAX_NAME_CHARACTERS = 24


def near_misses(items: Sequence[Item], documents: Sequence[Document], *, seed: int) -> list[Item]:
    """Up to four near-misses of each question, a function of the seed.

    Names are what questions have as answers. The names and dates of a changed question stand together in no document,
    nor in what was asked about one («米国» where the text has «アメリカ»); else that document might answer it.
    """
    asked = [i for i in items if i.kind == "question" and not is_open(i) and not is_unknown(i)]
    names = _Names(asked)
    index = _Index(documents, asked)
    languages = {document.id: document.language for document in documents}
    seen = {item.text for item in asked}
    made: list[Item] = []
    for item in random.Random(f"{seed} near misses").sample(asked, len(asked)):
        if len(made) >= MOST:
            break
        for text in _changed(item, names, index, random.Random(f"{seed} {item.id}")):
            if text not in seen:
                seen.add(text)
                made.append(Item(item.document_id, "question", RULE, text, REFUSALS[languages[item.document_id]]))
    return made


class _Names:
    """What may stand in a question's place of a name: names by the characters that follow them in some question."""

    def __init__(self, asked: Sequence[Item]) -> None:
        short = {i.answer for i in asked if len(i.answer) <= _MAX_NAME_CHARACTERS and not figures(i.answer)}
        known = sorted((answer for answer in short if _NAME.match(answer)), key=len, reverse=True)
        self.pattern = re.compile("|".join([_DATE.pattern, *map(re.escape, known)]))
        self.before: Mapping[tuple[bool, str], list[str]] = defaultdict(list)
        found: dict[tuple[bool, str], set[str]] = defaultdict(set)
        for item in asked:
            for match in self.found(item.text):
                found[self.slot(item.text, match)].add(match.group())
        for slot, of_slot in found.items():
            self.before[slot] = sorted(of_slot)

    def found(self, text: str) -> Iterator[re.Match[str]]:
        """The names and dates of a question, no part of a longer word."""
        for match in self.pattern.finditer(text):
            start, end = match.span()
            if not any(
                _is_inside_word(pair) for pair in (text[max(0, start - 1) : start + 1], text[end - 1 : end + 1])
            ):
                yield match

    def slot(self, text: str, match: re.Match[str]) -> tuple[bool, str]:
        """Whether it is a date, and what follows."""
        return bool(_DATE.fullmatch(match.group())), text[match.end() :][:AROUND]


def _is_inside_word(pair: str) -> bool:
    """Whether two neighbouring characters belong to one word: katakana, kanji or Latin letters both."""
    if len(pair) < 2:
        return False
    kinds = ("[ァ-ヺー・]", "[一-鿿々]", r"[^\W\d_ぁ-鿿]")
    return any(re.fullmatch(kind * 2, pair) for kind in kinds)


class _Index:
    """Which documents hold a name, in their text or in what was asked about them."""

    def __init__(self, documents: Sequence[Document], asked: Sequence[Item]) -> None:
        texts = {d.id: [d.title or "", d.text, *dates_of(d)] for d in documents}
        for item in asked:
            texts[item.document_id] += [item.text, item.answer]
        self.wholes = [comparable("\n".join(parts)) for parts in texts.values()]
        self.holding: dict[str, frozenset[int]] = {}

    def may_answer(self, names: Sequence[str]) -> bool:
        """Whether some document holds all the names, or none holds one of them, so that nothing is known of it."""
        holding = [self._holding(comparable(name)) for name in names]
        return not holding or not all(holding) or bool(frozenset.intersection(*holding))

    def _holding(self, name: str) -> frozenset[int]:
        if name not in self.holding:
            self.holding[name] = frozenset(i for i, whole in enumerate(self.wholes) if name in whole)
        return self.holding[name]


def dates_of(document: Document) -> list[str]:
    """A document's own date as questions name it."""
    day = document.date
    return [f"{day.month}月{day.day}日", f"{day:%B} {day.day}", f"{day.day} {day:%B}"] if day else []


def _changed(item: Item, names: _Names, index: _Index, rng: random.Random) -> Iterator[str]:
    """Up to PER_QUESTION texts with one name or date changed, each place in turn, that no document may answer."""
    matches = list(names.found(item.text))
    rng.shuffle(matches)
    num_made = 0
    for _ in range(PER_QUESTION):
        for match in matches:
            others = [n for n in names.before[names.slot(item.text, match)] if n not in item.text and n != item.answer]
            for other in rng.sample(others, min(TRIES, len(others))):
                text = item.text[: match.start()] + other + item.text[match.end() :]
                if not index.may_answer([m.group() for m in names.found(text)]):
                    yield text
                    num_made += 1
                    break
            if num_made == PER_QUESTION:
                return

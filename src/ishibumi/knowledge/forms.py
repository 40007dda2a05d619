"""Documents of one form: reports by template, rosters, records. [Document] → [Form], with letters for what varies.

Mexico and South Africa met in Atlanta.   →  {A} and {B} met in {C}.     104 of them, each with its own A, B and C
Number 7 is Ann Lee, a forward of Leeds.  →  Number {D} is {E}, a forward of {F}.

What is asked of one is asked of all, so that questions about a form are written once for thousands of documents.
Title, date and first sentence, where they have a form too, go before each other sentence: they tell which it is.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ishibumi.corpus.dates import format_date
from ishibumi.corpus.documents import Document
from ishibumi.knowledge.english import MONTH, known_names, names_in
from ishibumi.knowledge.english import split_sentences as split_en
from ishibumi.knowledge.japanese import normalise, tokenize
from ishibumi.knowledge.japanese import split_sentences as split_ja

MIN_ALIKE = 8  # sentences that make a form
MAX_SLOTS = 26
SAME = 0.95  # of its sentences in which two slots have the same value make them one letter
HOLE = "\0"
_FIGURE = re.compile(
    rf"\d{{1,2}} {MONTH}(?: \d{{4}})?|{MONTH} \d{{1,2}}(?:, \d{{4}})?|[$£€¥]?\d+(?:[.,:+–—-]\d+)*%?", re.ASCII
)
_NAME_KINDS = ("quote", "date", "time", "score", "katakana", "latin", "unknown", "number", "bare")


@dataclass(frozen=True)
class Filled:
    """One sentence of a form: the values of its letters, and the sentence itself, in which the answers stand."""

    document_id: str
    values: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class Form:
    """Sentences that differ in names and figures alone; `text` has {A}, {B}, … for those.

    A line each: title, date and first sentence of the document, and the sentence.
    """

    language: str
    text: str
    filled: tuple[Filled, ...]

    @property
    def letters(self) -> str:
        """The letters of the form, in order: «ABC»."""
        return "".join(letter(n) for n in range(len(self.filled[0].values)))


def letter(number: int) -> str:
    """0 → «A»."""
    return chr(ord("A") + number)


_Parts = tuple[str, tuple[str, ...], str]  # a sentence with holes, what stood in them, the sentence


def find_forms(documents: Sequence[Document]) -> list[Form]:
    """The forms of at least MIN_ALIKE sentences, those of most sentences first."""
    read = {d.id: [_parts(s, language_of(d), known) for s, known in _sentences(d)] for d in documents}
    alike: dict[str, set[str]] = defaultdict(set)
    for id, parts in read.items():
        for shape, values, _ in parts:
            if values:
                alike[shape].add(id)
    common = {shape for shape, ids in alike.items() if len(ids) >= MIN_ALIKE}
    groups: dict[tuple[str, str], list[tuple[str, list[_Parts]]]] = defaultdict(list)
    for document in documents:
        parts = read[document.id]
        num_head = bool(document.title) + bool(document.date) + 1
        head = [p for p in parts[:num_head] if p[0] in common]
        rest = [p for p in parts[num_head:] if p[0] in common]
        for told in [head, *([*head, p] for p in rest)] if head else [[p] for p in rest]:
            groups[language_of(document), "\n".join(p[0] for p in told)].append((document.id, told))
    worded = {key: told for key, told in groups.items() if any(c.isalpha() for c in key[1])}  # it says something
    forms = [_form(language, shape, told) for (language, shape), told in worded.items() if len(told) >= MIN_ALIKE]
    return sorted((f for f in forms if f), key=lambda f: (-len(f.filled), f.text))


def language_of(document: Document) -> str:
    """The language in which the document is read and asked about."""
    return "en" if document.language == "en" else "ja"


def _sentences(document: Document) -> Iterator[tuple[str, frozenset[str]]]:
    """Title, date and sentences, each with the names that are known from inside of sentences."""
    language = language_of(document)
    if language == "en":
        sentences = split_en(document.text)
        known = known_names(sentences)
    else:
        sentences, known = split_ja(normalise(document.text)), frozenset[str]()
    date = format_date(document.date, language) if document.date else ""
    yield from ((text, known) for text in (document.title or "", date, *sentences) if text)


def _parts(sentence: str, language: str, known: frozenset[str]) -> _Parts:
    found = _names_and_figures_ja(sentence) if language == "ja" else _names_and_figures_en(sentence, known)
    places = [(0, 0), *found, (len(sentence), len(sentence))]
    shape = HOLE.join(sentence[end:start] for (_, end), (start, _) in pairwise(places))
    return shape, tuple(sentence[start:end] for start, end in found), sentence


def _names_and_figures_en(sentence: str, known: frozenset[str]) -> list[tuple[int, int]]:
    found = [*names_in(sentence, known), *(m.span() for m in _FIGURE.finditer(sentence))]
    return _apart(sorted(found, key=lambda place: (place[0], -place[1])))


def _names_and_figures_ja(sentence: str) -> list[tuple[int, int]]:
    """Where names and figures stand; proper nouns that touch are one."""
    found: list[tuple[int, int]] = []
    start = 0
    was_name = False
    for token in tokenize(sentence):
        is_name = token.pos[1] == "固有名詞"
        if is_name and was_name:
            found[-1] = (found[-1][0], start + len(token.text))
        elif is_name or token.kind in _NAME_KINDS:
            found.append((start, start + len(token.text)))
        was_name = is_name
        start += len(token.text)
    return _apart(found)


def _apart(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places, from left to right, that do not begin inside of an earlier one."""
    out: list[tuple[int, int]] = []
    for start, end in places:
        if not out or start >= out[-1][1]:
            out.append((start, end))
    return out


def _form(language: str, shape: str, told: Sequence[tuple[str, list[_Parts]]]) -> Form | None:
    """The form of these, with one letter for slots that always agree, and none for what never varies."""
    rows = [tuple(value for part in parts for value in part[1]) for _, parts in told]
    columns = list(zip(*rows, strict=True))
    letters: dict[int, int] = {}  # column → the column whose letter it has
    for n, column in enumerate(columns):
        if len(set(column)) == 1:
            continue
        same = (k for k in dict.fromkeys(letters.values()) if _agree(columns[k], column))
        letters[n] = next(same, n)
    own = list(dict.fromkeys(letters.values()))
    if not own or len(own) > MAX_SLOTS:
        return None
    fixed = shape.split(HOLE)
    holes = [f"{{{letter(own.index(letters[n]))}}}" if n in letters else c[0] for n, c in enumerate(columns)]
    text = "".join(part for pair in zip(fixed, [*holes, ""], strict=True) for part in pair)
    fits = [all(row[n] == row[k] for n, k in letters.items()) for row in rows]
    filled = [
        Filled(id, tuple(row[n] for n in own), parts[-1][2])
        for (id, parts), row, fit in zip(told, rows, fits, strict=True)
        if fit
    ]
    return Form(language, text, tuple(filled))


def _agree(one: Sequence[str], other: Sequence[str]) -> bool:
    return sum(a == b for a, b in zip(one, other, strict=True)) >= SAME * len(one)

"""Documents of one form: reports by template, rosters, records. [Document] → [Form], with letters for what varies.

Mexico and South Africa met in Atlanta.   →  {A} and {B} met in {C}.     104 of them, each with its own A, B and C
Number 7 is Ann Lee, a forward of Leeds.  →  Number {D} is {E}, a forward of {F}.

What is asked of one is asked of all, so that questions about a form are written once for thousands of documents.
Title, date and first sentence, where they have a form too, go before each other sentence: they tell which it is.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from ishibumi.corpus.dates import format_date
from ishibumi.corpus.documents import Document
from ishibumi.knowledge.english import MONTH, POINTING, WEAK, known_names, names_in
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
_Words = Callable[[str], list[tuple[int, int]]]  # where names and figures stand, or whatever else makes holes


def find_forms(documents: Sequence[Document]) -> list[Form]:
    """The forms of at least MIN_ALIKE sentences, those of most sentences first.

    Names and figures vary. In documents without such a form rare words do too («steel bracket», 机上灯), and there a
    form must have two words that say something: in any prose much is alike but for rare words.
    """
    forms: list[Form] = []
    for language in ("en", "ja"):
        own = [document for document in documents if language_of(document) == language]
        found = [form for form in _forms_of(own, language, frozenset()) if _num_telling(form) > 0]
        held = {filled.document_id for form in found for filled in form.filled}
        left = [document for document in own if document.id not in held]
        usual = _usual_words(left, language)
        forms += [*found, *(form for form in _forms_of(left, language, usual) if _num_telling(form) > 1)]
    return sorted(forms, key=lambda f: (-len(f.filled), f.text))


def _forms_of(documents: Sequence[Document], language: str, usual: frozenset[str]) -> list[Form]:
    """The forms of these documents; where `usual` words are given, all others vary."""
    read = {d.id: [_parts(s, places(s)) for s, places in _sentences(d, language, usual)] for d in documents}
    alike: dict[str, set[str]] = defaultdict(set)
    for id, parts in read.items():
        for shape, values, _ in parts:
            if values:
                alike[shape].add(id)
    common = {shape for shape, ids in alike.items() if len(ids) >= MIN_ALIKE}
    groups: dict[str, list[tuple[str, list[_Parts]]]] = defaultdict(list)
    for document in documents:
        parts = read[document.id]
        num_head = bool(document.title) + bool(document.date) + 1
        head = [p for p in parts[:num_head] if p[0] in common]
        rest = [p for p in parts[num_head:] if p[0] in common]
        for told in [head, *([*head, p] for p in rest)] if head else [[p] for p in rest]:
            groups["\n".join(p[0] for p in told)].append((document.id, told))
    forms = [_form(language, shape, told) for shape, told in groups.items() if len(told) >= MIN_ALIKE]
    return [form for form in forms if form]


def _num_telling(form: Form) -> int:
    """How many words of its last line are more than grammar."""
    last = re.sub(r"\{[A-Z]\}", " ", form.text.rpartition("\n")[2])
    words = _words(last, form.language)
    if form.language == "ja":
        return sum(bool(re.search("[一-鿿々ァ-ヴA-Za-z]", word)) for word in words)
    return sum(len(word) > 2 and word.lower() not in WEAK | POINTING for word in words)


def _usual_words(documents: Sequence[Document], language: str) -> frozenset[str]:
    """The words of at least MIN_ALIKE documents."""
    texts = (f"{document.title or ''}\n{document.text}" for document in documents)
    having = Counter(word for text in texts for word in set(_words(text, language)))
    return frozenset(word for word, count in having.items() if count >= MIN_ALIKE)


def _words(text: str, language: str) -> list[str]:
    """The words of a text, without signs."""
    found = (t.text for t in tokenize(normalise(text))) if language == "ja" else re.findall(r"[^\W_]+", text)
    return [word for word in found if any(c.isalnum() for c in word)]


def language_of(document: Document) -> str:
    """The language in which the document is read and asked about."""
    return "en" if document.language == "en" else "ja"


def _sentences(document: Document, language: str, usual: frozenset[str]) -> Iterator[tuple[str, _Words]]:
    """Title, date and sentences, each with what finds that which varies in it."""
    if language == "en":
        sentences = split_en(document.text)
        places: _Words = partial(_varying_en, known=known_names(sentences), usual=usual)
    else:
        sentences = split_ja(normalise(document.text))
        places = partial(_varying_ja, usual=usual)
    date = format_date(document.date, language) if document.date else ""
    yield from ((text, places) for text in (document.title or "", date, *sentences) if text)


def _parts(sentence: str, found: Sequence[tuple[int, int]]) -> _Parts:
    places = [(0, 0), *found, (len(sentence), len(sentence))]
    shape = HOLE.join(sentence[end:start] for (_, end), (start, _) in pairwise(places))
    return shape, tuple(sentence[start:end] for start, end in found), sentence


def _varying_en(sentence: str, known: frozenset[str], usual: frozenset[str]) -> list[tuple[int, int]]:
    """Where names, figures and, if any words are usual, the others stand; such as touch are one."""
    found = [*names_in(sentence, known), *(m.span() for m in _FIGURE.finditer(sentence))]
    found += [m.span() for m in re.finditer(r"[^\W_]+", sentence) if usual and m[0] not in usual]
    apart = _apart(sorted(found, key=lambda place: (place[0], -place[1])))
    return _joined(apart, sentence) if usual else apart


def _varying_ja(sentence: str, usual: frozenset[str]) -> list[tuple[int, int]]:
    """Where names, figures and, if any words are usual, the others stand; names and rare ones that touch are one."""
    found: list[tuple[int, int]] = []
    start = 0
    goes_on = False
    for token in tokenize(sentence):
        is_rare = bool(usual) and token.text not in usual and any(c.isalnum() for c in token.text)
        is_name = token.pos[1] == "固有名詞" or is_rare
        if is_name and goes_on:
            found[-1] = (found[-1][0], start + len(token.text))
        elif is_name or token.kind in _NAME_KINDS:
            found.append((start, start + len(token.text)))
        goes_on = is_name
        start += len(token.text)
    return _apart(found)


def _joined(places: Sequence[tuple[int, int]], sentence: str) -> list[tuple[int, int]]:
    """The places, those made one that have no more than a space between them."""
    out: list[tuple[int, int]] = []
    for start, end in places:
        if out and sentence[out[-1][1] : start] == " ":
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


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

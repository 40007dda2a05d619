"""Checks of generated items: ([Item], source) → (kept items, how many were refused and why).

An item is in its document's language, no longer than is useful, and has no figure that the document has not; a short
answer stands in the document, as it is or with each of its words and figures.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ishibumi.corpus.dates import format_date
from ishibumi.corpus.documents import Document
from ishibumi.knowledge.items import Item, is_open, is_unknown
from ishibumi.knowledge.open_questions import MAX_ANSWER_CHARACTERS as MAX_OPEN_CHARACTERS
from ishibumi.knowledge.words import words

MAX_ANSWER_CHARACTERS = {"ja": 40, "en": 80}
MAX_QUESTION_CHARACTERS = {"ja": 220, "en": 400}
MAX_VIEW_CHARACTERS = 400  # beside four times the document
MAX_REPEATS = 3  # of one sentence in a view; a small model that runs in circles has more
# What is surely a name: a capital within an English sentence, katakana of several parts.
_NAMES = re.compile(r"(?<=[a-z,;] )[A-ZÀ-Þ][^\W\d_]{2,}|[ァ-ヺー]+(?:・[ァ-ヺー]+)+")
# What tells one event from another: katakana, several kanji, capitals within a sentence.
_TELLING = re.compile(r"[ァ-ヺー・]{2,}|[一-鿿々]{2,}|(?<=[a-z,;] )[A-ZÀ-Þ][^\W\d_]+")
# «the second goal» of a text that tells of two is no figure of its own
_ORDINAL = re.compile(r"(?<!\d)\d(?:[つ点番人回度代本]目|st|nd|rd|th)(?![a-z])")
_CHINESE = "[吗哪谁么这们几是]"
NUMBER_WORDS = {word: str(n) for n, word in enumerate(words("one two three four five six seven eight nine ten"), 1)}
SMALL_WORDS = frozenset(words("the a an of in on at and to by for from with"))


def comparable(text: str) -> str:
    """The text as answers are compared: NFKC, lower case, one sign for scores, no spaces or brackets."""
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<=\d)\s*(?:[-‐‑‒–—―−]|対|to)\s*(?=\d)", "-", text)
    return re.sub(r"[\s「」『』\"'“”‘’、。.,!?]", "", text)


def figures(text: str) -> set[str]:
    """The numbers of a text: 1,200 as 1200, 3―1 as 3, 1 and, whichever side is named first, 1-3."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", unicodedata.normalize("NFKC", text))
    pairs = re.findall(r"(?<![\d.])(\d{1,2})\s*(?:[-‐‑‒–—―−]|対)\s*(\d{1,2})(?!\d|\.\d)", text)
    return {*re.findall(r"\d+(?:\.\d+)?", text), *("-".join(sorted(pair)) for pair in pairs)}


def source_of(document: Document) -> str:
    """What items of the document are checked against: title, its date as people write it, text."""
    date = document.date
    dates = [date.isoformat(), format_date(date, "ja"), format_date(date, "en")] if date else []
    return "\n".join([document.title or "", *dates, document.text])


def holds(text: str, answer: str) -> bool:
    """Whether the text has the answer; a bare number stands alone in it, so that 2026 does not hold 2."""
    if re.fullmatch(r"\d{1,3}", answer):
        return answer in figures(text)
    return comparable(answer) in comparable(text)


@dataclass(frozen=True)
class _Source:
    """What items are held against: the document as it is compared, its Latin words and its numbers."""

    whole: str
    words: frozenset[str]
    figures: frozenset[str]
    num_characters: int


def check_items(items: Sequence[Item], *, source: str, language: str) -> tuple[list[Item], Counter[str]]:
    """The items that pass, and the number refused by reason: every figure and answer must stand in `source`."""
    kept: list[Item] = []
    refused: Counter[str] = Counter()
    held = _source(source)
    seen: set[str] = set()
    for item in items:
        reason = _fault(item, held, language)
        if not reason and item.text in seen:
            reason = "duplicate"
        if reason:
            refused[reason] += 1
        else:
            seen.add(item.text)
            kept.append(item)
    return kept, refused


@functools.lru_cache(maxsize=4096)  # every document is asked whether it may know what another one does not
def _source(text: str) -> _Source:
    latin = frozenset(_latin_words(text))
    numbers = figures(text) | {NUMBER_WORDS[word] for word in latin if word in NUMBER_WORDS}
    return _Source(comparable(text), latin, frozenset(numbers), len(text))


def _latin_words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_\u3041-\u9fff]+", unicodedata.normalize("NFKC", text).lower())


def _fault(item: Item, source: _Source, language: str) -> str:
    """Why the item must not be learned, or ""."""
    if not item.text.strip():
        return "empty"
    if not _is_in_language(item.text, language, is_question=item.kind == "question"):
        return "another language"
    if is_unknown(item):  # it may name what the document does not have
        return "long question" if len(item.text) > MAX_QUESTION_CHARACTERS[language] else ""
    told = f"{item.text} {item.answer}" if is_open(item) else item.text
    if not figures(_ORDINAL.sub("", told)) <= source.figures:
        return "figure not in the document"
    if not all(_is_known_name(name, source) for name in _NAMES.findall(unicodedata.normalize("NFKC", told))):
        return "name not in the document"
    return _fault_of_view(item, source) if item.kind == "view" else _fault_of_question(item, source, language)


def _is_known_name(name: str, source: _Source) -> bool:
    """Whether the source has the name, or a word that begins like it (Africa, African)."""
    if name[0] >= "ァ":
        return all(part in source.whole for part in name.split("・"))
    return any(word.startswith(name[:3].lower()) for word in source.words)


def telling_words(text: str) -> list[str]:
    """The words of a text that tell its subject from others: names, and whatever is written like one."""
    return _TELLING.findall(unicodedata.normalize("NFKC", text))


def may_know(source: str, question: str) -> bool:
    """Whether the source has all names and figures of the question, so that it may answer it."""
    held = _source(source)
    names = telling_words(question)
    return figures(question) <= held.figures and all(comparable(name) in held.whole for name in names)


def _fault_of_view(item: Item, source: _Source) -> str:
    if len(item.text) > MAX_VIEW_CHARACTERS + 4 * source.num_characters:
        return "long text"
    parts = (part.strip(" .!?") for part in re.split(r"[。\n]|[.!?](?=\s)", item.text))
    sentences = Counter(part for part in parts if part)
    return "repeats itself" if max(sentences.values(), default=0) > MAX_REPEATS else ""


def _fault_of_question(item: Item, source: _Source, language: str) -> str:
    answer = comparable(item.answer)
    if not answer or not (is_open(item) or _stands_in(item.answer, source)):
        return "answer not in the document"
    if holds(item.text, item.answer):
        return "question holds its answer"
    if len(item.answer) > (MAX_OPEN_CHARACTERS if is_open(item) else MAX_ANSWER_CHARACTERS)[language]:
        return "long answer"
    if len(item.text) > MAX_QUESTION_CHARACTERS[language]:
        return "long question"
    return ""


def _stands_in(answer: str, source: _Source) -> bool:
    """Whether the source has the answer as it is, or its figures and each of its words, in whatever order."""
    if not figures(answer) <= source.figures:
        return False
    if comparable(answer) in source.whole:
        return True
    latin = [word for word in _latin_words(answer) if word not in SMALL_WORDS]
    japanese = re.findall(r"[ァ-ヺー]+|[一-鿿々]+", unicodedata.normalize("NFKC", answer))
    has_latin = all(word in source.words or NUMBER_WORDS.get(word) in source.figures for word in latin)
    return bool(latin or japanese or figures(answer)) and has_latin and all(run in source.whole for run in japanese)


def _is_in_language(text: str, language: str, *, is_question: bool) -> bool:
    """Whether a fifth of a Japanese text's letters are Japanese, and some are hiragana, which Chinese has not.

    A question from a search box («準々決勝 日時») may be without, if it has none of the words that Chinese asks with.
    English has hardly any Japanese letters.
    """
    num_letters = sum(c.isalpha() for c in text)
    num_japanese = len(re.findall("[\u3041-\u30ff\u4e00-\u9fff]", text))
    if language == "en":
        return num_japanese <= 0.1 * num_letters
    is_own = bool(re.search("[\u3041-\u309f]", text)) or (is_question and not re.search(_CHINESE, text))
    return is_own and num_japanese >= 0.2 * num_letters

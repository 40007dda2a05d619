"""Writing that is equal for the exam becomes equal tokens. text → [Token].

    «２対〇» → 2:0      «The Hague's» → hague      «フェラン・トーレス» → フェラン, トーレス      «八万人» → 80000, 人

A token is a number, a score, a Latin word, a katakana word, or one other character. Tokens are the borders that an
answer may not cut: 1 is not in 11, 2-1 not in 12-1, art not in party, インド not in インドネシア.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from ishibumi.corpus import dates

DASHES = "-‐‑‒–—―−ー~〜"
KANJI_DIGITS = {c: i for i, c in enumerate("〇一二三四五六七八九")} | {"零": 0}
KANJI_UNITS = {"十": 10, "百": 100, "千": 1000}
KANJI_MYRIADS = {"万": 10**4, "億": 10**8, "兆": 10**12}
NUMERALS = "".join(KANJI_DIGITS) + "".join(KANJI_UNITS) + "".join(KANJI_MYRIADS)

# What may follow a single kanji numeral so that it is a number: 三点 is, 三浦 and 一般 are not.
COUNTERS = (
    "点分人日月年回位度本枚個発勝敗戦対つ名歳号週時秒倍階番組冊台件社校都県市町国目円歩差失得試次部章節階段億万千百兆"
)
# A comma is one of thousands only between groups of three digits: 2024,300 are two numbers, and so are 2024,2025.
_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_NUMBER = rf"(?<![0-9]){_WHOLE}(?:\.[0-9]+)?"
KANJI_NUMBER = re.compile(
    rf"[{NUMERALS}]{{2,}}|{_NUMBER}[{''.join(KANJI_MYRIADS)}十百千](?:[{NUMERALS}]|{_NUMBER})*|[{NUMERALS}]"
)
_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
            seventeen eighteen nineteen twenty"""
WORD_NUMBERS = {word: str(value) for value, word in enumerate(_WORDS.split())}
MONTHS = frozenset(map(str.lower, dates.MONTHS))
LATIN_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
SPELLINGS = {"ヴァ": "バ", "ヴィ": "ビ", "ヴェ": "ベ", "ヴォ": "ボ", "ヴ": "ブ", "パーセント": "%", "&": " and "}

ARTICLES = re.compile(r"\b(?:the|The|THE|an|a)\b(?=\s+\w)|^\s*(?:A|An)\b(?=\s+[a-z0-9])")
POSSESSIVES = re.compile(r"(?<=[A-Za-z])['’]s\b")
# 2026-07-19 and 2026/7/19 are dates, not scores.
ISO_DATES = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
# Added time belongs to the number: 90+2, 90'+2 and 90分+2 are one.
DIGITS = rf"{_WHOLE}(?:\.\d+)?(?:['’′分]?\+\d+)?"
TOKENS = re.compile(
    rf"(?P<score>\d+(?:\s*(?:対|[{DASHES}:])\s*\d+)+)"
    rf"|(?P<number>(?:(?<!\w)[-−])?{DIGITS})(?:st|nd|rd|th)?"
    r"|(?P<latin>[a-z]+)"
    r"|(?P<katakana>[ァ-ヺー]+)"
    r"|(?P<other>[^\W_]|[%°$€£¥々])"
)
# Words that follow a name without changing which name it is.
GENERIC_KATAKANA = re.compile("(スタジアム|アリーナ|フィールド|チーム|サッカー)")


@dataclass(frozen=True)
class Token:
    """One comparable piece of text."""

    text: str
    form: Literal["number", "score", "latin", "katakana", "other"]


def tokens(text: str) -> list[Token]:
    """The comparable tokens of `text`; spaces, punctuation, quotes, articles and accents are gone."""
    plain = _kanji_numbers_to_digits(_fold(text))
    found: list[Token] = []
    for match in TOKENS.finditer(plain):
        found += _tokens_of(match)
    return _month_first(found)


def _fold(text: str) -> str:
    """`text` in one width, lower case, one kind of dash for dates, without Latin accents."""
    text = unicodedata.normalize("NFKC", text)
    text = POSSESSIVES.sub("", ARTICLES.sub(" ", text))
    text = re.sub(r"(?<=[A-Za-z])['’](?=[A-Za-z])", "", text).lower().replace("ß", "ss").translate(LATIN_LETTERS)
    # Only the accents of Latin, Greek and Cyrillic letters: the marks of が and ぱ lie elsewhere (U+3099, U+309A).
    decomposed = unicodedata.normalize("NFKD", text)
    text = unicodedata.normalize("NFKC", re.sub("[\u0300-\u036f]", "", decomposed))
    for written, meant in SPELLINGS.items():
        text = text.replace(written, meant)
    text = re.sub(r"\bper ?cent\b", "%", text)
    return ISO_DATES.sub(lambda m: f"{m[1]}年{int(m[2])}月{int(m[3])}日", text)


def _kanji_numbers_to_digits(text: str) -> str:
    def digits(match: re.Match[str]) -> str:
        if len(match[0]) == 1 and not _stands_as_number(text, match.start()):
            return match[0]
        # A comma beside it parts two numbers, as in 8万,9万 and 三百,四百: it must not come to stand between digits.
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        return " " * (before == ",") + _value(match[0]) + " " * (after == ",")

    return KANJI_NUMBER.sub(digits, text)


def _stands_as_number(text: str, at: int) -> bool:
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if before in ("第", "対") or (after and after in COUNTERS):
        return True
    return not (_is_word_character(before) or _is_word_character(after))


def _is_word_character(character: str) -> bool:
    return bool(character) and bool(re.match(r"[一-鿿々ァ-ヺー]", character))


def _value(written: str) -> str:
    """The digits of a number in kanji or mixed: 二〇二六 → 2026, 十一 → 11, 8万663 → 80663, 1.5億 → 150000000."""
    written = written.replace(",", "")
    if not any(character in KANJI_UNITS or character in KANJI_MYRIADS for character in written):
        return "".join(str(KANJI_DIGITS.get(character, character)) for character in written)
    total = section = 0.0
    pending = ""
    for character in written:
        if character in KANJI_UNITS:
            section += float(pending or 1) * KANJI_UNITS[character]
            pending = ""
        elif character in KANJI_MYRIADS:
            total += (section + float(pending or (0 if section else 1))) * KANJI_MYRIADS[character]
            section, pending = 0.0, ""
        else:
            pending += str(KANJI_DIGITS.get(character, character))
    total += section + float(pending or 0)
    return f"{total:.10g}" if total != int(total) else str(int(total))


def _tokens_of(match: re.Match[str]) -> list[Token]:
    text = match[0]
    if match["score"]:
        return [Token(":".join(str(int(part)) for part in re.findall(r"\d+", text)), "score")]
    if match["number"]:
        return [Token(_plain_number(match["number"]), "number")]
    if match["katakana"]:
        return [Token(word, "katakana") for word in GENERIC_KATAKANA.split(text) if word]
    if match["latin"]:
        number = WORD_NUMBERS.get(text)
        return [Token(number, "number")] if number else [Token(text, "latin")]
    return [Token(text, "other")]


def _plain_number(written: str) -> str:
    """Without thousands commas, minute marks, leading zeros and odd minus signs."""
    number = re.sub("[,'’′分]", "", written).replace("−", "-")
    return re.sub(r"^(-?)0+(?=\d)", r"\1", number)


def _month_first(found: list[Token]) -> list[Token]:
    """19 July, 19th of July and July 19 in the same order."""
    result: list[Token] = []
    for token in found:
        if token.text not in MONTHS:
            result.append(token)
            continue
        day = 2 if result[-1:] == [Token("of", "latin")] else 1
        if len(result) >= day and _is_day(result[-day]):
            result[-day:] = [token, result[-day]]
        else:
            result.append(token)
    return result


def _is_day(token: Token) -> bool:
    return token.form == "number" and token.text.isdigit() and 1 <= int(token.text) <= 31

"""The text of a row → clean text, its title line, and the dated prefix. Changes as little as it can."""

import re
import string
import unicodedata
from collections.abc import Callable

from ishibumi.corpus.dates import format_date
from ishibumi.corpus.documents import Document
from ishibumi.errors import InputError, UsageError
from ishibumi.settings import DocumentSettings

# Full-width digits and letters become plain ones; 、。「」！？：（） stay as they are written.
_WIDE = "".join(chr(c + 0xFEE0) for c in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B)))
_PLAIN = {c: chr(ord(c) - 0xFEE0) for c in _WIDE}  # full-width forms stand in the order of ASCII
_NUMBER_MARK = re.compile(r"(?<=\d)[．，](?=\d)")
_NUMBER_MARKS = {"．": ".", "，": ","}
_BLANK = "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_BLANKS = re.compile(f"[{_BLANK}]+")
_EDGES = re.compile(r" ?\n ?")
_LINE_ENDS = re.compile(r"\r\n|[\r\u0085\u2028\u2029]")
# Zero-width space, word joiner, byte order mark, soft hyphen. The joiners U+200C and U+200D carry meaning: kept.
_INVISIBLE = "\u200b\u2060\ufeff\u00ad"
_CONTROL = "".join(
    map(chr, (*range(9), *range(0x0B, 0x0D), *range(0x0E, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0)))
)
_HALVES = "".join(map(chr, range(0xD800, 0xE000)))
_UNPRINTABLE = re.compile(f"[{re.escape(_CONTROL)}{_INVISIBLE}\ud800-\udfff]")
# A letter with marks after it (か + ゛, e + ´), as macOS writes file names: made one character.
_MARKS = "\u3099\u309a" + "".join(map(chr, range(0x300, 0x370)))
_DECOMPOSED = re.compile(rf"\S[{_MARKS}]+")
_HALF_WIDTH = "".join(map(chr, range(0xFF61, 0xFFA0)))
_HALF_WIDTH_KANA = re.compile(f"[{_HALF_WIDTH}]+")
# ｜南町《みなみまち》 as Aozora Bunko writes it. 《》 alone may be a title, so it counts only beside a ｜….
_RUBY = re.compile(r"｜[^\n｜《]{1,20}《[ぁ-ゖァ-ヺー・]+》")
_FURIGANA = re.compile(r"《[ぁ-ゖァ-ヺー・]+》|｜(?=[^\n｜《]{1,20}《)")

Changed = Callable[[str, str], None]
# Character → the rule that looks at it. Most texts hold few of them, so most rules need not look at most texts.
_RULE_OF = {
    character: rule
    for rule, characters in {
        "line_ends": "\r\u0085\u2028\u2029",
        "control_characters": _CONTROL + _HALVES,
        "invisible_characters": _INVISIBLE,
        "full_width": _WIDE + "．，",
        "half_width_kana": _HALF_WIDTH,
        "decomposed": _MARKS,
        "furigana": "｜",
        "spaces": _BLANK,
    }.items()
    for character in characters
}
_WATCHED = re.compile(f"[{re.escape(''.join(_RULE_OF))}]")
# What the report counts: not white space and line ends. The pattern finds what the rule changes.
REPORTED = {
    "control_characters": re.compile(f"[{re.escape(_CONTROL)}\ud800-\udfff]"),
    "invisible_characters": re.compile(f"[{_INVISIBLE}]"),
    "full_width": re.compile(rf"[{_WIDE}]|{_NUMBER_MARK.pattern}"),
    "half_width_kana": _HALF_WIDTH_KANA,
    "decomposed": _DECOMPOSED,
    "furigana": _RUBY,
}

_JAPANESE = re.compile(r"[ぁ-ゖァ-ヺー々〇一-鿿㐀-䶿]+")
_KANA = re.compile(r"[ぁ-ゖァ-ヺー]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")

_SENTENCE_ENDS = ("。", "．", ".", "、", ",", ":", "：", ";")
LEAST_KANA = 0.05  # Japanese prose has a third or more
MAX_TITLE_CHARACTERS = {"ja": 60, "en": 120}

PREFIX_FIELDS = ("date", "title")


def clean_text(text: str, changed: Changed | None = None) -> str:
    """`text` without control characters, with plain digits, letters and spaces, \\n line ends and no empty edges.

    `changed` is told of each rule that changed something: its name, and the first place with what stood around it.
    """
    characters = set(_WATCHED.findall(text))
    rules = {_RULE_OF[character] for character in characters}
    for rule in sorted(rules & REPORTED.keys()) if changed else ():
        found = REPORTED[rule].search(text)
        if found and changed:
            changed(rule, text[max(0, found.start() - 10) : found.end() + 10])
    if rules & {"line_ends", "control_characters", "invisible_characters"}:
        text = printable(text)
    if "full_width" in rules:
        for character in characters & _PLAIN.keys():
            text = text.replace(character, _PLAIN[character])
        if characters & _NUMBER_MARKS.keys():
            text = _NUMBER_MARK.sub(lambda found: _NUMBER_MARKS[found[0]], text)
    if "half_width_kana" in rules:
        text = _HALF_WIDTH_KANA.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    if "decomposed" in rules:
        text = _DECOMPOSED.sub(lambda found: unicodedata.normalize("NFC", found[0]), text)
    if "furigana" in rules and _RUBY.search(text):
        text = _FURIGANA.sub("", text)
    if "spaces" in rules:
        text = _BLANKS.sub(" ", text)
    if "  " in text:
        text = re.sub(" {2,}", " ", text)
    if " \n" in text or "\n " in text:
        text = _EDGES.sub("\n", text)
    return (re.sub(r"\n{3,}", "\n\n", text) if "\n\n\n" in text else text).strip(" \n")


def printable(text: str) -> str:
    """`text` with \\n line ends, and without control and invisible characters and halves of broken pairs.

    Indentation stays: a reply in a conversation may hold code.
    """
    return _UNPRINTABLE.sub("", _LINE_ENDS.sub("\n", text))


def split_title(text: str) -> tuple[str | None, str]:
    """The title line of a clean text and the rest, or None and the text if it begins with no title.

    A title is a short first line that does not end like a sentence, followed by a body: by an empty line, or by a
    line that is longer or ends its sentence. (In text that is wrapped by hand the lines are about as long as the
    first and go on in the middle of a sentence.)
    """
    first, _, rest = text.partition("\n")
    body = rest.lstrip("\n")
    longest = MAX_TITLE_CHARACTERS[language_of(first)]
    if not body or len(first) > longest or first.endswith(_SENTENCE_ENDS):
        return None, text
    second = body.partition("\n")[0]
    goes_on = second[:1].islower() or not (len(second) > len(first) or second.endswith(_SENTENCE_ENDS))
    if not rest.startswith("\n") and goes_on:
        return None, text
    return first, body


def language_of(text: str) -> str:
    """ "ja" if at least a fifth of the letters of `text` are kana or kanji, else "en"."""
    if text.isascii():
        return "en"
    num_japanese = 0
    for found in _JAPANESE.finditer(text):
        num_japanese += found.end() - found.start()
        if num_japanese >= 0.2 * len(text):  # the letters are at most all characters
            return "ja"
    return "ja" if num_japanese and num_japanese >= 0.2 * sum(map(str.isalpha, text)) else "en"


def language_share(text: str, language: str) -> float:
    """Which share of the letters of `text` are kana and kanji, or Latin ones; 0 for kanji without kana, as Chinese."""
    num_letters = sum(map(str.isalpha, text))
    own = "".join((_JAPANESE if language == "ja" else _LATIN).findall(text))
    if language == "ja" and len(_KANA.findall(own)) < LEAST_KANA * num_letters:
        return 0.0
    return min(1.0, len(own) / num_letters) if num_letters else 0.0


def prefix_fields(settings: DocumentSettings, language: str) -> set[str]:
    """The fields that the prefix for `language` uses. Raises UsageError if one of them is unknown."""
    template = settings.prefix_ja if language == "ja" else settings.prefix_en
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise _bad_prefix(template, language, str(error)) from None
    unknown = sorted(fields - set(PREFIX_FIELDS))
    if unknown:
        raise _bad_prefix(template, language, f"unknown field {{{unknown[0]}}}")
    return fields


def prefix_for(document: Document, settings: DocumentSettings) -> str:
    """«2024年9月1日のニュース:» or «News of September 1, 2024: », ready to stand before the text.

    Raises InputError if the prefix needs a date or a title that the document does not have.
    """
    template = settings.prefix_ja if document.language == "ja" else settings.prefix_en
    date = format_date(document.date, document.language) if document.date else None
    values = {"date": date, "title": document.title}
    for name in sorted(prefix_fields(settings, document.language)):
        if values[name] is None:
            raise _lacks(document.origin, name, template)
    return template.format(**values) + ("" if document.language == "ja" or not template else " ")


def _lacks(origin: str, name: str, template: str) -> InputError:
    """The error for a document without the date or title that the prefix needs."""
    give, give_ja = {
        "date": (
            "Put the date into its file's name, a line «Published: 2024-09-01» at its top or a date column",
            "日付をファイル名、先頭の「公開日：2024-09-01」のような行、date 列のどれかに書く",
        ),
        "title": ("Add a title column", "title 列に見出しを入れる"),
    }[name]
    return InputError(
        f"{origin}: this document has no {name}, and its prefix «{template}» needs one.",
        hint=f"{give}, or take {{{name}}} out of documents.prefix_ja and prefix_en.",
        hint_ja=f"{give_ja}か、documents.prefix_ja・prefix_en の {{{name}}} を消してください。",
    )


def _bad_prefix(template: str, language: str, reason: str) -> UsageError:
    return UsageError(
        f'documents.prefix_{language} = "{template}": {reason}. Fields: {{date}}, {{title}}.',
        hint="Use only these fields; a brace itself is written twice: {{ or }}.",
        hint_ja="使えるのはこの2つだけです。波かっこそのものは {{ や }} のように2つ重ねて書きます。",
    )

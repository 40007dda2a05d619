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
_WIDE_CODES = [*range(ord("０"), ord("９") + 1), *range(ord("Ａ"), ord("Ｚ") + 1), *range(ord("ａ"), ord("ｚ") + 1)]
_WIDTH = {wide: wide - (ord("０") - ord("0")) for wide in _WIDE_CODES}  # full-width forms stand in the order of ASCII
_WIDE = re.compile(r"[０-９Ａ-Ｚａ-ｚ]+")
_NUMBER_MARKS = {"．": ".", "，": ","}
_WIDE_MARK = re.compile(r"(?<=\d)[．，](?=\d)")
_BLANK = r"\t\v\f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_SPACES = re.compile(rf"[ {_BLANK}]{{2,}}|[{_BLANK}]")
_EDGES = re.compile(r" ?\n ?")
_LINE_ENDS = re.compile(r"\r\n|[\r\u0085\u2028\u2029]")
# Zero-width space, word joiner, byte order mark, soft hyphen. The joiners U+200C and U+200D carry meaning: kept.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# A letter with marks after it (か + ゛, e + ´), as macOS writes file names: made one character.
_MARK = re.compile(r"[\u0300-\u036f\u3099\u309a]")
_DECOMPOSED = re.compile(r"[^\s][\u0300-\u036f\u3099\u309a]+")
_HALF_WIDTH_KANA = re.compile(r"[｡-ﾟ]+")
# ｜南町《みなみまち》 as Aozora Bunko writes it. 《》 alone may be a title, so it counts only beside a ｜….
_FURIGANA = re.compile(r"《[ぁ-ゖァ-ヺー・]+》|｜(?=[^\n｜《]{1,20}《)")

Changed = Callable[[str, str], None]
# What the report counts besides white space and line ends.
RULES = {
    "control_characters": re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]"),
    "invisible_characters": _INVISIBLE,
    "full_width": re.compile(r"[０-９Ａ-Ｚａ-ｚ]|(?<=\d)[．，](?=\d)"),
    "half_width_kana": _HALF_WIDTH_KANA,
    "decomposed": _DECOMPOSED,
    "furigana": re.compile(r"｜[^\n｜《]{1,20}《[ぁ-ゖァ-ヺー・]+》"),
}

_JAPANESE = re.compile(r"[ぁ-ゖァ-ヺー々〇一-鿿㐀-䶿]+")
_LETTERS = re.compile(r"[^\W\d_]+")

_SENTENCE_ENDS = ("。", "．", ".", "、", ",", ":", "：", ";")
MAX_TITLE_CHARACTERS = {"ja": 60, "en": 120}

PREFIX_FIELDS = ("date", "title")


def clean_text(text: str, changed: Changed | None = None) -> str:
    """`text` without control characters, with plain digits, letters and spaces, \\n line ends and no empty edges.

    `changed` is told of each rule that changed something: its name, and the first place with what stood around it.
    """
    if changed is not None:
        for name, pattern in RULES.items():
            found = pattern.search(text)
            if found:
                changed(name, text[max(0, found.start() - 10) : found.end() + 10])
    text = printable(text)
    if RULES["full_width"].search(text):
        text = _WIDE.sub(lambda found: found[0].translate(_WIDTH), text)
        text = _WIDE_MARK.sub(lambda found: _NUMBER_MARKS[found[0]], text)
    text = _HALF_WIDTH_KANA.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    if _MARK.search(text):
        text = _DECOMPOSED.sub(lambda found: unicodedata.normalize("NFC", found[0]), text)
    if RULES["furigana"].search(text):
        text = _FURIGANA.sub("", text)
    text = _EDGES.sub("\n", _SPACES.sub(" ", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip(" \n")


def printable(text: str) -> str:
    """`text` with \\n line ends, and without control and invisible characters and halves of broken pairs.

    Indentation stays: a reply in a conversation may hold code.
    """
    text = _LINE_ENDS.sub("\n", text)
    return _CONTROL.sub("", _INVISIBLE.sub("", text))


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
    num_japanese = sum(map(len, _JAPANESE.findall(text)))
    return "ja" if num_japanese and num_japanese >= 0.2 * sum(map(len, _LETTERS.findall(text))) else "en"


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
    name_ja, column = {"date": ("日付", "date"), "title": ("見出し", "title")}[name]
    return InputError(
        f"{origin}: this document has no {name}, and its prefix «{template}» needs one.",
        hint=f"Add a {column} column, or take {{{name}}} out of documents.prefix_ja and prefix_en.",
        hint_ja=f"{column} 列に{name_ja}を入れるか、documents.prefix_ja・prefix_en の {{{name}}} を消してください。",
    )


def _bad_prefix(template: str, language: str, reason: str) -> UsageError:
    return UsageError(
        f'documents.prefix_{language} = "{template}": {reason}. Fields: {{date}}, {{title}}.',
        hint="Use only these fields; a brace itself is written twice: {{ or }}.",
        hint_ja="使えるのはこの2つだけです。波かっこそのものは {{ や }} のように2つ重ねて書きます。",
    )

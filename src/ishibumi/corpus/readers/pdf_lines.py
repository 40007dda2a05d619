"""A page of a PDF → its lines of text, each with its place: gaps, indents and room at a line end can be seen."""

import ctypes
import re
from dataclasses import dataclass
from typing import Any

from ishibumi.corpus.readers.encoding import WIDE

HYPHEN = "\ufffe"  # pdfium puts it where a word was parted at a line end
# What a typesetter moves to the next line as a whole: a Japanese letter with its brackets and marks, or a Latin word.
_FIRST_WORD = re.compile(rf"\s*[「『（【〈《〔“(]*(?:{WIDE}[、。，．・：；？！」』）】〉》〕ーぁぃぅぇぉっゃゅょァィゥェォッャュョ]*|[^\s\u2e80-\u9fff\uf900-\uffff]+)")  # fmt: skip # noqa: E501
_SPREAD = re.compile(rf"(?:{WIDE} ){{3}}")
_BESIDE_WIDE = re.compile(rf"(?<={WIDE}) | (?={WIDE})")
_LINE = re.compile(rf"[^\n{HYPHEN}]*(?:\n|{HYPHEN}|$)")


@dataclass(frozen=True)
class Line:
    """A line of text; lengths in points, from the left and from the bottom of the page as it is looked at."""

    text: str
    left: float
    right: float
    baseline: float
    size: float
    first_word: float  # the width of the first word: less room than that was left on the line above, if it goes on here


def page_lines(page: Any, text_page: Any) -> list[Line]:
    """The lines of the page that are not blank, in the order of the file."""
    turn = (-1j) ** (page.get_rotation() // 90)
    lines, at = list[Line](), 0
    for raw in _LINE.findall(text_page.get_text_range()):
        text = raw.rstrip("\r\n")
        if text.strip():
            lines.append(_line(text_page, text, at=at, turn=turn))
        at += _num_units(raw)
    return lines


def _line(text_page: Any, text: str, *, at: int, turn: complex) -> Line:
    word = _FIRST_WORD.match(text)
    first = _place(text_page, at, turn)
    word_end = _place(text_page, at + _num_units(text[: word.end() if word else 1]) - 1, turn)
    last = _place(text_page, at + _num_units(text.rstrip(f"{HYPHEN} \u3000")) - 1, turn)
    written = _without_spread(text_page, text, at) if _SPREAD.search(text) else text
    return Line(written, first[0], last[1], first[2], max(first[3], last[3]), word_end[1] - first[0])


def _without_spread(text_page: Any, text: str, at: int) -> str:
    """A line set wide to fill its measure, less the spaces beside Japanese letters that pdfium made of the gaps."""
    from pypdfium2 import raw

    def space(found: re.Match[str]) -> str:
        index = raw.FPDFText_GetCharIndexFromTextIndex(text_page, at + _num_units(text[: found.start()]))
        return "" if raw.FPDFText_IsGenerated(text_page, index) == 1 else " "

    return _BESIDE_WIDE.sub(space, text)


def _place(text_page: Any, at: int, turn: complex) -> tuple[float, float, float, float]:
    """Left, right, baseline and font size of the character at a place of the text."""
    from pypdfium2 import raw

    index = raw.FPDFText_GetCharIndexFromTextIndex(text_page, at)
    x, y, box, matrix = ctypes.c_double(), ctypes.c_double(), raw.FS_RECTF(), raw.FS_MATRIX()
    raw.FPDFText_GetCharOrigin(text_page, index, x, y)
    raw.FPDFText_GetLooseCharBox(text_page, index, box)
    raw.FPDFText_GetMatrix(text_page, index, matrix)
    origin = complex(x.value, y.value) * turn
    corners = [complex(box.left, box.bottom) * turn, complex(box.right, box.top) * turn]
    size = raw.FPDFText_GetFontSize(text_page, index) * abs(complex(matrix.c, matrix.d))
    return origin.real, max(c.real for c in corners), origin.imag, size


def _num_units(text: str) -> int:
    """Places are counted in units of UTF-16."""
    return len(text) + sum(c > "\uffff" for c in text)

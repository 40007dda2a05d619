"""Lines of the pages of a PDF → paragraphs; one may run over the border of a page, and a parted word is joined."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from statistics import median

from ishibumi.corpus.readers.encoding import WIDE
from ishibumi.corpus.readers.pdf_lines import HYPHEN, Line

_WIDE = re.compile(WIDE)
_NEEDS_SPACE = re.compile(rf"(?:[^\s{HYPHEN}\-]|\s-)(?<!{WIDE})$")  # not "24-" before "hour"
_WORD = r"[A-Za-z\u00c0-\u024f]{1,40}"  # bounded: the search stays linear
_PARTED = re.compile(rf"({_WORD}){HYPHEN}({_WORD})")
_COMPOUND = re.compile(rf"{_WORD}-{_WORD}")
_NEW_PARAGRAPH = re.compile(r"[\u3000•・■●○◆◇□※]|\d+[.)．] |[-–] |第\d+[章節条]")


@dataclass(frozen=True)
class _Layout:
    leading: float  # the usual distance of two baselines, in sizes of the letters
    text_width: float
    line_ends: dict[int, float]  # column: where its full lines end; what stands in none is a number, or alone


def paragraphs(pages: list[list[Line]]) -> str:
    """The text, a paragraph a line."""
    text = "\n".join(_joined(list(_from_left_edge(pages))))
    compounds = set(_COMPOUND.findall(text))
    return _PARTED.sub(lambda m: f"{m[1]}-{m[2]}" if f"{m[1]}-{m[2]}" in compounds else m[1] + m[2], text).replace(
        HYPHEN, ""
    )


def _joined(lines: list[Line]) -> Iterator[str]:
    """Lines joined until one begins a paragraph."""
    layout = _layout(lines)
    held, num_lines = lines[0].text if lines else "", 1
    for above, line in pairwise(lines):
        if _begins(above, line, layout, is_second=num_lines == 1):
            yield held
            held, num_lines = line.text, 1
        else:
            space = " " if _NEEDS_SPACE.search(held[-2:]) and not _WIDE.match(line.text) else ""
            held, num_lines = held + space + line.text, num_lines + 1
    yield held


def _begins(above: Line, line: Line, layout: _Layout, *, is_second: bool) -> bool:
    """Whether the line begins a paragraph: by its mark, letters, distance or indent, or as it had room further up."""
    if _NEW_PARAGRAPH.match(line.text):
        return True
    if above.text.endswith(HYPHEN):
        return False
    room = layout.line_ends.get(_column(above, layout.text_width), inf) - above.right
    is_moved = 0.5 * line.size < abs(line.left - above.left) < 8 * line.size  # further: it is in another column
    is_out = line.left < above.left and bool(_NEW_PARAGRAPH.match(above.text))
    return (
        room > line.first_word + 0.5 * line.size  # and a space before it
        or (
            is_moved and (is_out or not is_second)
        )  # the first line of a paragraph may stand out, that of an item not in
        or above.baseline - line.baseline > 1.2 * layout.leading * line.size
        or not 0.9 * line.size <= above.size <= 1.1 * line.size
    )


def _from_left_edge(pages: list[list[Line]]) -> Iterator[Line]:
    """The lines with places from the edge of the text, which may differ on left and right pages."""
    edges = [-_high(-line.left for page in pages[side::2] for line in page) for side in (0, 1)]
    for number, page in enumerate(pages):
        edge = edges[number % 2]
        for line in page:
            yield replace(line, left=line.left - edge, right=line.right - edge)


def _layout(lines: list[Line]) -> _Layout:
    steps = [(above.baseline - line.baseline) / line.size for above, line in pairwise(lines) if line.size]
    width = _high(line.right for line in lines)
    ends = defaultdict[int, list[float]](list)
    for line in lines:
        if line.right - line.left > width / 4:
            ends[_column(line, width)].append(line.right)
    leading = median([step for step in steps if step > 0] or [0.0])
    return _Layout(leading, width, {column: _high(rights) for column, rights in ends.items()})


def _column(line: Line, text_width: float) -> int:
    return int(4 * line.left / max(text_width, 1.0))


def _high(values: Iterable[float]) -> float:
    """The value that 5 % exceed: a few lines may stick out."""
    ordered = sorted(values)
    return ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0

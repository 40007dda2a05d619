"""Lines of the pages of a PDF → paragraphs; one may run over the border of a page, and a parted word is joined."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from ishibumi.corpus.readers.pdf_lines import HYPHEN, WIDE, Line

_WIDE = re.compile(WIDE)
_NEW_PARAGRAPH = re.compile(r"[\u3000•・■●○◆◇□※]|\d+[.)．] |[-–] |第\d+[章節条]")


@dataclass(frozen=True)
class _Layout:
    leading: float  # the usual distance of two baselines, in sizes of the letters
    text_width: float
    line_ends: dict[int, float]  # column: where its full lines end


def paragraphs(pages: list[list[Line]]) -> Iterator[str]:
    """Lines joined until one begins a paragraph."""
    lines = list(_from_left_edge(pages))
    layout = _layout(lines)
    held, num_lines = "", 0
    for above, line in pairwise([None, *lines]):
        if above and _begins(above, line, layout, is_second=num_lines == 1):
            yield held
            held, num_lines = "", 0
        needs_space = held and not (_WIDE.match(held[-1]) or _WIDE.match(line.text[0]))
        space = " " if needs_space and above and not above.text.endswith((" ", HYPHEN)) else ""
        held += space + line.text.replace(HYPHEN, "")
        num_lines += 1
    if held:
        yield held


def _begins(above: Line, line: Line, layout: _Layout, *, is_second: bool) -> bool:
    """Whether the line begins a paragraph: by its mark, letters, distance or indent, or as it had room further up."""
    if _NEW_PARAGRAPH.match(line.text):
        return True
    if above.text.endswith(HYPHEN):
        return False
    room = layout.line_ends[_column(above, layout.text_width)] - above.right
    is_moved = 0.5 * line.size < abs(line.left - above.left) < 8 * line.size  # further: it is in another column
    return (
        room > line.first_word + line.size  # a letter more, as not every typesetter fills its lines
        or (is_moved and not is_second)  # the first line of a paragraph may stand out, or in
        or above.baseline - line.baseline > 1.2 * layout.leading * line.size
        or not 0.9 < above.size / line.size < 1.1
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
        ends[_column(line, width)].append(line.right)
    leading = median([step for step in steps if step > 0] or [0.0])
    return _Layout(leading, width, {column: _high(rights) for column, rights in ends.items()})


def _column(line: Line, text_width: float) -> int:
    return int(4 * line.left / max(text_width, 1.0))


def _high(values: Iterable[float]) -> float:
    """The value that 5 % exceed: a few lines may stick out."""
    ordered = sorted(values)
    return ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0

"""Lines of each page of a PDF → the same without headers, footers and page numbers, and what these were."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from statistics import median, quantiles

from ishibumi.corpus.readers.pdf_lines import Line

MAX_EDGE_LINES = 3  # a header or a footer has at most so many
TOP, BOTTOM = 1, -1
ALL = 2  # every page; 0 and 1 are the left and the right ones
_NUMBER = re.compile(r"\d{1,6}")
_LETTER = re.compile(r"[^\W\d_]")


def drop_edges(pages: list[list[Line]]) -> tuple[list[list[Line]], list[str]]:
    """The pages without their headers and footers; and these, once for all that differ only in numbers.

    A header stands apart at the top, in no larger letters than the text, and repeats on more than half of all pages,
    or of the left or the right ones, but for one number that counts with the pages. So a heading or a paragraph at the
    top of a page stays, even where others begin alike.
    """
    wide = _wide_gap(pages)
    text_size = median(line.size for page in pages for line in page)
    at_edges = [
        (number, line, is_apart, _keys(line, side, number, is_apart=is_apart))
        for number, page in enumerate(pages)
        for side in (TOP, BOTTOM)
        for line, is_apart in _edge(page, side, wide=wide)
        if line.size < 1.15 * text_size or not _LETTER.search(line.text)
    ]
    num_pages = Counter(group for number in range(len(pages)) for group in (ALL, number % 2))
    shown = {(number, key) for number, _, is_apart, keys in at_edges if is_apart for key in keys}
    repeated = {key for key, count in Counter(key for _, key in shown).items() if count > max(1, num_pages[key[0]] / 2)}
    gone = {(number, line) for number, line, _, keys in at_edges if keys & repeated}
    kept = [[line for line in page if (number, line) not in gone] for number, page in enumerate(pages)]
    told: dict[str, str] = {}
    for _, line in sorted(gone, key=lambda place: (place[0], -place[1].baseline, place[1].left)):
        told.setdefault(re.sub(r"\d+", "0", line.text.strip()), line.text)
    return kept, list(told.values())


def _wide_gap(pages: list[list[Line]]) -> float:
    """What is more than lines, and most paragraphs, are apart: so far from the text, a line is apart from it."""
    steps = [
        above - below
        for page in pages
        for above, below in pairwise(sorted({line.baseline for line in page}, reverse=True))
        if above - below > 1  # else they are parts of one line
    ]
    return min(1.8 * median(steps), 1.1 * quantiles(steps, n=20)[16]) if len(steps) > 1 else 0.0


def _edge(page: list[Line], side: int, *, wide: float) -> Iterator[tuple[Line, bool]]:
    """The first lines from the top or bottom, and whether they are apart: before a wide gap or larger letters."""
    lines = sorted(page, key=lambda line: -side * line.baseline)
    borders = [
        count
        for count, (line, inner) in enumerate(pairwise(lines[: MAX_EDGE_LINES + 1]), start=1)
        if abs(line.baseline - inner.baseline) > wide or line.size < 0.95 * inner.size
    ]
    num_apart = min(borders, default=len(lines) if len(lines) <= MAX_EDGE_LINES else 0)
    return ((line, count < num_apart) for count, line in enumerate(lines[:MAX_EDGE_LINES]))


def _keys(line: Line, side: int, number: int, *, is_apart: bool) -> set[tuple[int, int, int | None, str]]:
    """What may repeat: the text, or the text with one of its numbers as the distance from the number of the page.

    A line that is not apart on this page must also stand at the same place as those that are.
    """
    text = line.text.strip()
    counted = (f"{text[: m.start()]}#{int(m[0]) - number}{text[m.end() :]}" for m in _NUMBER.finditer(text))
    places = (round(line.baseline), None) if is_apart else (round(line.baseline),)
    groups = (ALL, number % 2)
    return {(group, side, place, shape) for shape in (text, *counted) for group in groups for place in places}

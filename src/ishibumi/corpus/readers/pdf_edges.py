"""Lines of each page of a PDF → the same without headers, footers and page numbers, and what these were."""

import re
from collections import Counter
from itertools import pairwise
from statistics import median, quantiles

from ishibumi.corpus.readers.pdf_lines import Line

MAX_EDGE_LINES = 3  # a header or a footer has at most so many
TOP, BOTTOM = 1, -1
ALL = 2  # every page; 0 and 1 are the left and the right ones
_NUMBER = re.compile(r"\d{1,6}")


def drop_edges(pages: list[list[Line]]) -> tuple[list[list[Line]], list[str]]:
    """The pages without their headers and footers; and these, once for all that differ only in numbers.

    A header stands apart at the top, in no larger letters than the text, and repeats on more than half of all pages,
    or of the left or the right ones, but for one number that counts with the pages. So a heading or a paragraph at the
    top of a page stays, even where others begin alike.
    """
    wide = _wide_gap(pages)
    text_size = median(line.size for page in pages for line in page)
    at_edges = [
        (number, line, _keys(line.text.strip(), side, number))
        for number, page in enumerate(pages)
        for side in (TOP, BOTTOM)
        for line in _edge(page, side, wide=wide)
        if line.size < 1.1 * text_size
    ]
    num_pages = Counter(group for number in range(len(pages)) for group in (ALL, number % 2))
    counts = Counter(key for _, key in {(number, key) for number, _, keys in at_edges for key in keys})
    repeated = {key for key, count in counts.items() if count > max(1, num_pages[key[0]] / 2)}
    gone = {(number, line) for number, line, keys in at_edges if keys & repeated}
    kept = [[line for line in page if (number, line) not in gone] for number, page in enumerate(pages)]
    told: dict[str, str] = {}
    for _, line in sorted(gone, key=lambda place: (place[0], -place[1].baseline, place[1].left)):
        told.setdefault(re.sub(r"\d+", "0", line.text.strip()), line.text)
    return kept, list(told.values())


def _wide_gap(pages: list[list[Line]]) -> float:
    """What is more than lines, and most paragraphs, are apart: the distance of baselines of a header from the text."""
    steps = [
        above - below
        for page in pages
        for above, below in pairwise(sorted({line.baseline for line in page}, reverse=True))
        if above - below > 1  # not two parts of a line
    ]
    return min(2 * median(steps), 1.1 * quantiles(steps, n=20)[16]) if len(steps) > 1 else 0.0


def _edge(page: list[Line], side: int, *, wide: float) -> list[Line]:
    """The lines at the top or bottom before the first wide gap or larger letters; none if that is not near."""
    lines = sorted(page, key=lambda line: -side * line.baseline)
    for count, (line, inner) in enumerate(pairwise(lines[: MAX_EDGE_LINES + 1]), start=1):
        if abs(line.baseline - inner.baseline) > wide or line.size < 0.95 * inner.size:
            return lines[:count]
    return lines if len(lines) <= MAX_EDGE_LINES else []


def _keys(text: str, side: int, number: int) -> set[tuple[int, int, str]]:
    """What repeats: the text, or the text with one of its numbers as the distance from the number of the page."""
    counted = (f"{text[: m.start()]}#{int(m[0]) - number}{text[m.end() :]}" for m in _NUMBER.finditer(text))
    return {(group, side, shape) for shape in (text, *counted) for group in (ALL, number % 2)}

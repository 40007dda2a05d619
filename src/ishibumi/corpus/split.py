"""A long text → parts that each fit, cut where a reader would pause."""

import re
from collections.abc import Iterator

# Better places first: before a heading, between paragraphs, between lines, between sentences, between clauses.
_HEADING = re.compile(r"\n(?=#{1,6} |■|◆|第[0-9一二三四五六七八九十]+[章節条]|[^\n。.]{1,40}\n\n?[^\n]{60})")
_PLACES = (
    _HEADING,
    re.compile(r"\n\n"),
    re.compile(r"\n"),
    re.compile(r"(?<=[。！？!?])(?![」』）)])|(?<=[.!?]) (?=[A-Z\"'(])"),
    re.compile(r"(?<=[、，,;；]) ?| "),
)
_LEAST_SHARE = 0.5  # a part is at least so full, where a worse place for the cut allows it


def split_long(text: str, max_characters: int) -> list[str]:
    """`text` in parts of at most `max_characters`; only the white space between two parts is lost."""
    return list(_parts(text, max_characters))


def _parts(text: str, most: int) -> Iterator[str]:
    while len(text) > most:
        cut = _place(text, most)
        yield text[:cut].rstrip()
        text = text[cut:].lstrip()
    if text:
        yield text


def _place(text: str, most: int) -> int:
    """Where to cut: the last of the best places that leaves the part full enough, else at the limit."""
    window = text[: most + 1]
    for pattern in _PLACES:
        found = [match.start() for match in pattern.finditer(window, int(_LEAST_SHARE * most)) if match.start() <= most]
        if found:
            return found[-1]
    return most

"""What an English question needs so that it stands alone: Document → Story (sentences, names, phrases of context)."""

import datetime as dt
import itertools
import re
from collections import Counter
from dataclasses import dataclass

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.english import (
    PLACE_END,
    Clause,
    Span,
    clauses_of,
    common_phrases,
    kinds_of,
    known_names,
    spans_of,
    split_sentences,
)

VERSUS = (
    r"(?:beat|beats|defeated|edged|overcame|thrashed|outplayed|eliminated|knocked out|lost to|drew with|held|saw off|"
    r"swept aside|won against|faced)"
)


@dataclass(frozen=True)
class Story:
    """What the rules know of one document."""

    title: str
    sentences: tuple[str, ...]
    spans: tuple[tuple[Span, ...], ...]
    clauses: tuple[tuple[Clause, ...], ...]
    kinds: dict[str, str]
    main: tuple[str, ...]
    pair: tuple[str, str] | None
    contexts: tuple[str, ...]
    source: str


def read_story(document: Document) -> Story:
    """The document's sentences, names and contexts."""
    title = (document.title or "").strip(" .")
    sentences = tuple(s for s in split_sentences(document.text) if len(s) > 5)
    known = known_names([*sentences])
    kinds = kinds_of([*sentences], known)
    named = [[s for s in spans_of(text, known, kinds) if not _is_people(s.text, kinds)] for text in sentences]
    spans = tuple(tuple([*row, *common_phrases(text, row)]) for row, text in zip(named, sentences, strict=True))
    clauses = tuple(tuple(clauses_of(s, known)) for s in sentences)
    counts = Counter(
        full_name(s, kinds) for row in spans for s in row if s.kind in ("person", "place", "organisation", "name")
    )
    counts.update({name: 2 for name in counts if name in title})
    main = tuple(n for n, c in counts.most_common(5) if c > 1)
    subjects = {c.subject for row in clauses for c in row}
    pair = _pair(" ".join([*sentences, title]), kinds, main, subjects, title)
    dates = _dates(document.date)
    contexts = tuple(_contexts(title, dates, main, pair))
    return Story(title, sentences, spans, clauses, kinds, main, pair, contexts, "\n".join([title, *sentences, *dates]))


def _is_people(text: str, kinds: dict[str, str]) -> bool:
    """Whether the word is what the people of another name are called (Australians beside Australia)."""
    is_adjective = text.endswith(("ans", "an", "ish", "ese", "ians", "ian", "i", "is"))
    return is_adjective and any(
        len(n) > 4 and n != text and n[:5] == text[:5] and not n.endswith(("an", "ans", "ish")) for n in kinds
    )


def full_name(span: Span, kinds: dict[str, str]) -> str:
    """A surname as the full name where the document gives one."""
    full = (
        [n for n, k in kinds.items() if k == "person" and n.endswith(" " + span.text)] if span.kind == "person" else []
    )
    return full[0] if len(full) == 1 else span.text


def _dates(date: dt.date | None) -> list[str]:
    if date is None:
        return []
    return [f"{date.day} {date:%B} {date.year}", f"{date:%B} {date.day}, {date.year}", f"{date.day} {date:%B}"]


def _pair(
    text: str, kinds: dict[str, str], main: tuple[str, ...], subjects: set[str], title: str
) -> tuple[str, str] | None:
    """The two sides of a contest, where some score and some verb of winning say that it was one."""
    names = "|".join(
        re.escape(n) for n in sorted(kinds, key=len, reverse=True) if kinds[n] in ("name", "organisation", "place")
    )
    if not names or not re.search(r"\d[-–]\d", text):
        return None
    patterns = (
        rf"({names}) (?:\w+ )?{VERSUS} (?:the )?({names})",
        rf"({names})\b[^.]{{0,40}}\b(?:win|victory|triumph|defeat) (?:over|against|of|to|by) (?:the )?({names})",
        rf"({names})['’]s (?:lead|advantage) over (?:the )?({names})",
        rf"(?:tie|match|game|meeting|final) between (?:the )?({names}) and (?:the )?({names})",
    )
    for pattern in patterns:
        found = re.search(pattern, text)
        if found and found[1] != found[2]:
            return found[1], found[2]
    in_title = re.search(rf"\b({names}) [a-z]+ ({names})\b", title)
    if in_title:
        return in_title[1], in_title[2]
    sides = [m for m in main if kinds.get(m) != "person" and m.split()[-1] not in PLACE_END and text.count(m) > 1]
    set_against = r"(?:over|against|beat|beating|past|meet|between|eliminated|facing)"
    sides = [m for m in sides if kinds.get(m) != "place" or m in subjects]
    rivals = [m for m in sides[1:] if m in subjects or re.search(rf"\b{set_against} (?:the )?{re.escape(m)}\b", text)]
    return (
        (sides[0], rivals[0]) if rivals and re.search(r"\b(?:match|tie|game|final|win|victory|beat)\b", text) else None
    )


def _contexts(title: str, dates: list[str], main: tuple[str, ...], pair: tuple[str, str] | None) -> list[str]:
    out: list[str] = []
    if pair:
        a, b = pair
        for sides in (
            f"the match between {a} and {b}",
            f"{a} v {b}",
            f"{a} vs {b}",
            f"the {a}–{b} match",
            f"the game between {b} and {a}",
        ):
            out += [f"In {sides}, ", *(f"In {sides} on {d}, " for d in dates)]
        out += [f"In {x}'s match on {d}, " for x in pair for d in dates]
    if title:
        out += [
            f"According to the report “{title}”, ",
            f"In the article “{title}”, ",
            f"In the news story headlined “{title}”, ",
        ]
        is_topic = len(title.split()) <= 4 and not dates
        if is_topic:
            out += [f"In the article on {title}, ", f"Concerning {title}, ", f"On the subject of {title}, "]
    for name in main[:3]:
        if not pair:
            out += [f"In the report of {d} on {name}, " for d in dates] or [f"In the text about {name}, "]
    for x, y in itertools.combinations(main[:3], 2):
        out += [f"In the news of {d} about {x} and {y}, " for d in dates[:2]]
    return out

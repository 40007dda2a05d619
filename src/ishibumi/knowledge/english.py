"""English names and figures: sentence → [Span]. What can be asked for, of which kind.

Why LemmInflect: a capital at the start of a sentence is a name only if the word is in no dictionary, and a question
needs the verb's other form («when did Canada win», not «won»). It is a small table (MIT, 0.8 MB), no language model.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import lemminflect

from ishibumi.knowledge.words import words

MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
WEEKDAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
COUNT = (
    r"(?:\d+(?:,\d{3})*(?:\.\d+)?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    r"sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|ninety)(?: (?:hundred|[mb]illion|thousand))?"
)
LABELS = (
    "number|group|no|room|article|chapter|section|page|version|minute|line|gate|platform|route|flight|item|step|part|volume|"
    "issue|figure|table|paragraph|rule|level|floor|phase|unit|round|grade|model|class|stage|district|box|bus"
)
FIGURES = re.compile(
    rf"(?P<label>(?<![\w-])(?:{LABELS})\b\.? (?:\d+(?:\.\d+)*(?:\+\d+)?(?![\w–%-]|,\d)|(?-i:[B-HJ-Z]|A(?! ))\b))|"
    r"(?P<date>(?:the )?(?:early|late|mid)[ -](?:1[0-9]|20)\d\ds?|the (?:1[0-9]|20)\d0s|"
    rf"(?:{WEEKDAY},? )?\d{{1,2}}(?:st|nd|rd|th)? {MONTH}(?:,? \d{{4}})?|"
    rf"(?:{WEEKDAY},? )?{MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?!\d)(?:, \d{{4}})?|{MONTH} \d{{4}}|"
    r"(?<![\d.,$£€-])(?:1[0-9]|20)\d\d(?:s)?(?![\d,]*\d|[–%-]\d))"
    r"|(?P<time>\d{1,2}(?::\d\d)? ?(?:a\.m\.|p\.m\.|am|pm)\b|\d{1,2}:\d\d)"
    r"|(?P<score>(?<![\d+–-])\d{1,3}[–—-]\d{1,3}(?![\d–-]|[a-z]))"
    r"|(?P<minute>\d{1,3}(?:\+\d{1,2})?(?:st|nd|rd|th)[ -]minute\b|\d{2,3}\+\d{1,2})"
    r"|(?P<money>[$£€¥]\d[\d,.]*(?: (?:million|billion|trillion))?"
    r"|\d[\d,.]* (?:million |billion )?(?:dollars|pounds|euros|yen)\b)"
    r"|(?P<percent>\d[\d.,]* ?(?:%|per ?cent\b))"
    rf"|(?P<count>(?<![\w-]){COUNT}([ -][a-z]{{3,}})?\b)",
    re.IGNORECASE,
)
UPPER = "A-Z" + "".join(c for c in map(chr, range(0xC0, 0x250)) if c.isupper())
INNER = r"(?:&|0\d|of the|of|de la|de|da|do|van der|van de|van|von|der|di|del|la|le|al|bin)"
NAME = re.compile(
    rf"(?:(?<=[a-z] )\d{{1,2}}\. )?\b[{UPPER}](?:[\w&.-]|['’](?!s\b))*(?<![.'’-])"  # 1. FC Köln
    rf"(?:(?: {INNER})?(?: St\.)? [{UPPER}](?!\. [{UPPER}]\.)[\w&-]*(?:['’](?!s\b)\w+)?)*"
    rf"(?: 0\d\b| \d{{1,3}}(?![\d–+-]|\w| [a-z])|(?: [{UPPER}]\.){{2,}})?"  # Real Madrid C. F.
)
FACILITY_END = words(
    "Stadium Park Arena Airport Hall Field Museum Bridge Palace Center Centre Garden Gardens Station Theatre Theater "
    "Church Cathedral Castle Dome Library Hospital"
)
PLACE_END = words("Street City County River Lake Island Islands Bay Square Beach Road Avenue Valley Coast Ocean Sea")
BODIES = (
    "Inc|Ltd|LLC|Corp|Corporation|Co|Company|United|University|College|Institute|Bank|Club|Union|Association|Agency|"
    "Ministry|Department|Council|Committee|Commission|Party|Group|Foundation|Society|Federation"
)
BODY = re.compile(rf" (?:{BODIES})$|^(?:{BODIES}) of |^\d+\. |(?:^| )[A-Z]{{2,}} | [A-Z]{{2,}}$")
TITLES = (
    "Mr|Mrs|Ms|Dr|Sir|Lord|Lady|President|Professor|King|Queen|Prince|Princess|Pope|Captain|General|Judge|Senator|"
    "Governor|Mayor|coach|captain|minister|director|author|actor|singer|player|striker|midfielder|defender|goalkeeper"
)
WEAK = frozenset(
    words(
        "the a an in on at for from as i with by of to into after before since until while when where if though "
        "although because despite during through over under between among against about perhaps however also not no "
        "both all some many most each every what why how having being only even still yet nor or than once now later "
        "meanwhile moreover furthermore thus therefore according behind beyond without twice more out down ahead"
    )
)
POINTING = frozenset(
    words(
        "he she it they his her its their this that these those who which such there here him them one then so but and"
    )
)


@dataclass(frozen=True)
class Span:
    """Something to ask for: `text` = sentence[start:end], and its kind.

    Kinds: person, organisation, place, facility, side, name, label («Room 101», which names), date, time, score,
    minute, money, percent, count.
    """

    start: int
    end: int
    kind: str
    text: str


def split_sentences(text: str) -> list[str]:
    """The sentences of a text; abbreviations and initials do not end one."""
    begins = rf"(?! (?:{'|'.join(w.capitalize() for w in sorted(WEAK | POINTING))})\b)"  # «in Group A. The match …»
    initial = rf"(?:\b[A-Z]|(?:(?<=\bof )|(?<=\bfor ))\d{{1,2}})\.(?= ){begins}"  # J. Ward of 1. FC Köln
    guarded = re.sub(
        rf"\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|No|vs|v|U\.S|U\.K|e\.g|i\.e)\.(?= )|{initial}", lambda m: m[0][:-1] + "\0", text
    )
    parts = re.split(rf"(?<=[.!?])[”\"')]*\s+(?=[“\"'(]?[{UPPER}0-9])|\n+", guarded)
    return [re.sub(r"\[[^\]]*\]", "", p.replace("\0", ".")).strip() for p in parts if p and p.strip()]


@lru_cache(maxsize=20_000)
def is_common(word: str) -> bool:
    """Whether the lower-case word is in the dictionary of common words."""
    return bool(lemminflect.getAllLemmas(word)) or word in POINTING | WEAK or len(word) < 3


def known_names(sentences: Sequence[str]) -> frozenset[str]:
    """Words with a capital inside of sentences: those are names also where a sentence begins with them."""
    inside = (w for s in sentences for w in re.findall(rf"(?<=[a-z,;0-9] )[{UPPER}][\w’'-]+", s))
    return frozenset(re.sub(r"['’]s$", "", w) for w in inside)


def names_in(sentence: str, known: frozenset[str]) -> Iterator[tuple[int, int]]:
    """The places of the names in a sentence; a capital at its start counts only if the word is a name elsewhere."""
    at = 0
    while m := NAME.search(sentence, at):
        start, at, text = m.start(), m.end(), m[0]
        is_start = (
            start == 0 or sentence[max(start - 2, 0) : start] in (". ", ": ", "? ") or sentence[start - 1] in "“\"'("
        )
        while text:
            first, _, rest = text.partition(" ")
            is_initials = first.isupper() and rest and not rest.isupper()  # AS Roma
            weak = (first.lower() in POINTING | WEAK and not is_initials) or bool(rest and re.fullmatch(TITLES, first))
            is_alone = not rest or not rest[0].isupper()
            if not weak and not (is_start and is_alone and first not in known and is_common(first.lower())):
                break
            start, text = start + len(first) + bool(rest), rest
        head, _, owner = text.partition(" of ")
        is_whole = all(is_common(w.lower()) for w in head.split()) and not BODY.search(owner)
        if owner and not is_whole:  # «Smith of Leeds», «Dan Burn of Leeds United», but «Bank of England»
            text = head
            at = start + len(head)
        if re.search("[A-Za-z]{2}", text) and not text[0].islower() and not re.fullmatch(rf"{MONTH}|{WEEKDAY}", text):
            yield start, start + len(text)


def kinds_of(sentences: Sequence[str], known: frozenset[str]) -> dict[str, str]:
    """The kind of every name of a document, from its form and from what stands around it anywhere."""
    text = " ".join(sentences)
    names = dict.fromkeys(s[start:end] for s in sentences for start, end in names_in(s, known))
    kinds = {name: _kind(name, text) for name in names}
    for name in [n for n, kind in kinds.items() if kind == "person" and " " in n]:
        if name.split()[-1] in kinds:
            kinds[name.split()[-1]] = "person"
    return kinds


def _kind(name: str, text: str) -> str:
    parts, whole = name.split(), re.escape(name)
    if BODY.search(name):
        return "organisation"
    if re.search(
        rf"\b(?:{TITLES})\.? {whole}\b|\b{whole}(?:,? aged? \d|, \d\d,|, who\b| of [{UPPER}\d][^,]* (?:is|was) an? )",
        text,
    ):
        return "person"
    if len(parts) > 1 and parts[-1] in (*FACILITY_END, *PLACE_END):
        return "facility" if parts[-1] in FACILITY_END else "place"
    if re.search(rf"\b(?:in|at|near|outside|across) (?:the )?{whole}\b", text):
        return "place"
    if re.search(rf"\b(?:is|was) {whole}, an? [a-z]+ of [{UPPER}\d]", text):
        return "person"
    if re.search(rf"(?:[{UPPER}]\S+|, an? [a-z]+) of {whole}\b|\bwho (?:plays|works) (?:for|at) {whole}\b", text):
        return "organisation"
    has_article = re.search(rf"\b[Tt]he {whole}\b", text)
    is_person = 1 < len(parts) < 4 and not has_article and not any(is_common(w.lower()) for w in parts)
    alone = re.search(rf"(?<!{re.escape(' '.join(parts[:-1]))} )\b{re.escape(parts[-1])}\b", text)
    return "person" if is_person or (1 < len(parts) < 4 and not has_article and alone) else "name"


def spans_of(sentence: str, known: frozenset[str], kinds: dict[str, str]) -> list[Span]:
    """What can be asked for in a sentence, from left to right, none inside of another."""
    found = [_figure(m) for m in FIGURES.finditer(sentence)]
    found = [s for s in found if s.kind != "count" or (not s.text.isalpha() and len(s.text) > 1)]
    for start, end in names_in(sentence, known):
        found.append(Span(start, end, kinds.get(sentence[start:end], "name"), sentence[start:end]))
    out: list[Span] = []
    for span in sorted(found, key=lambda s: (s.start, -s.end)):
        if not out or span.start >= out[-1].end:
            out.append(span)
    return out


def _figure(m: re.Match[str]) -> Span:
    """The figure; a count keeps the word behind it if it is a noun: no verb, as in «of the 12 comes the last»."""
    unit = m[m.re.groups] or ""
    is_verb = m[0][: -len(unit) or None] in ("1", "one") and unit.endswith("s")
    is_verb = is_verb or re.match(r" (?:the|an?|his|her|its|their)\b", m.string[m.end() :])
    is_unit = unit[1:] not in WEAK and not is_verb and "NOUN" in lemminflect.getAllLemmas(unit[1:])
    end = m.end() if is_unit else m.end() - len(unit)
    return Span(m.start(), end, m.lastgroup or "", m.string[m.start() : end])

"""English sentences as names, figures and clauses: text → [Sentence]. What every English rule stands on.

Why LemmInflect: a question needs the verb's other form («when did Canada win», not «won»), and a list of irregular
verbs would be a dictionary of our own. It is a small table lookup (MIT, 0.8 MB, needs numpy only), no language model.
There is no parser: a clause is taken only where a subject stands directly before its finite verb; elsewhere the rules
leave a hole in the sentence instead of turning it round.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import lemminflect

from ishibumi.knowledge.words import words

MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
WEEKDAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
COUNT = (
    r"(?:\d[\d,]*(?:\.\d+)?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    r"sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|ninety)"
)
FIGURES = re.compile(
    r"(?P<date>(?:the )?(?:early|late|mid)[ -](?:1[0-9]|20)\d\ds?|the (?:1[0-9]|20)\d0s|"
    rf"(?:{WEEKDAY},? )?\d{{1,2}}(?:st|nd|rd|th)? {MONTH}(?:,? \d{{4}})?|"
    rf"(?:{WEEKDAY},? )?{MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?!\d)(?:, \d{{4}})?|{MONTH} \d{{4}}|"
    r"(?<![\d.,$£€-])(?:1[0-9]|20)\d\d(?:s)?(?![\d,]*\d|[–%-]\d))"
    r"|(?P<time>\d{1,2}(?::\d\d)? ?(?:a\.m\.|p\.m\.|am|pm)\b|\d{1,2}:\d\d)"
    r"|(?P<score>(?<![\d+–-])\d{1,3}[–—-]\d{1,3}(?![\d–-]|[a-z]))"
    r"|(?P<minute>(?:the )?\d{1,3}(?:\+\d{1,2})?(?:st|nd|rd|th)[ -]minute\b|\d{2,3}\+\d{1,2})"
    r"|(?P<money>[$£€¥]\d[\d,.]*(?: (?:million|billion|trillion))?"
    r"|\d[\d,.]* (?:million |billion )?(?:dollars|pounds|euros|yen)\b)"
    r"|(?P<percent>\d[\d.,]* ?(?:%|per ?cent\b))"
    rf"|(?P<count>(?<![\w-]){COUNT}(?: (?:hundred|thousand|million|billion))?(?:[ -][a-z]{{3,}})?\b)",
    re.IGNORECASE,
)
INNER = r"(?:of the|of|de la|de|da|do|van der|van|von|der|di|del|la|le|al|bin)"
NAME = re.compile(
    rf"\b[A-Z][\w’'&.-]*(?<![.'’-])(?:(?: {INNER})? [A-Z][\w&-]*(?:['’][A-Z]\w*)?)*"
    r"(?: \d{1,3}(?![\d–+-]|\w| [a-z]))?",
    re.UNICODE,
)
QUOTE = re.compile(r"[“\"]([^“”\"]{2,60})[”\"]")
PLACE_END = frozenset(
    words(
        "Stadium Park Arena Street City County River Lake Island Islands Bay Airport Hall Square Field Museum "
        "Bridge Palace Beach Center Centre Road Avenue Valley Mountains Mountain Desert Garden Gardens "
        "Station Theatre Theater Church Cathedral Castle Coast Ocean Sea"
    )
)
ORG_END = frozenset(
    words(
        "University College School Club Inc Corp Corporation Company Council Party Committee Association "
        "Union Bank FC United Department Ministry Institute Agency Commission League Society Foundation Group "
        "Army Court Parliament Congress Authority Federation Conference"
    )
)
TITLES = (
    "Mr|Mrs|Ms|Dr|Sir|Lord|Lady|President|Professor|King|Queen|Prince|Princess|Pope|Captain|General|Judge|Senator|Governor|Mayor|"
    + ("coach|captain|minister|director|author|actor|singer|player|striker|midfielder|defender|forward|goalkeeper")
)
AUXILIARIES = frozenset(words("is are was were has have had will would can could may might must did does do"))
UNCHANGED = frozenset(words("beat put cut set hit let cost shut spread split hurt burst"))
WEAK = frozenset(
    words(
        "the a an in on at for from as i with by of to into after before since until while when where if "
        "though although because despite during through over under between among against about perhaps "
        "however also not no nobody both all some many most each every what why how having being only even "
        "still yet nor or than once now later meanwhile moreover furthermore thus therefore according behind "
        "beyond without twice"
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

    Kinds: person, place, organisation, name, date, time, score, minute, money, percent, count, title.
    """

    start: int
    end: int
    kind: str
    text: str


@dataclass(frozen=True)
class Clause:
    """A subject directly before a finite verb: `before` + `subject` + `verb` + `rest`.

    `verb` is the word that carries the tense; `base` its dictionary form, empty for an auxiliary.
    """

    before: str
    subject: str
    verb: str
    base: str
    rest: str

    @property
    def text(self) -> str:
        """Subject, verb and rest."""
        return f"{self.subject} {self.verb} {self.rest}".strip()


def split_sentences(text: str) -> list[str]:
    """The sentences of a text; abbreviations and initials do not end one."""
    guarded = re.sub(
        r"\b(Mr|Mrs|Ms|Dr|St|Jr|Sr|No|vs|v|U\.S|U\.K|e\.g|i\.e|[A-Z])\.(?= )", lambda m: m[0][:-1] + "\0", text
    )
    parts = re.split(r"(?<=[.!?])[”\"')]*\s+(?=[“\"'(]?[A-ZÀ-Þ0-9])|\n+", guarded)
    return [re.sub(r"\[[^\]]*\]", "", p.replace("\0", ".")).strip() for p in parts if p and p.strip()]


@lru_cache(maxsize=20_000)
def _verb_lemma(word: str) -> str:
    """The dictionary form if the word can be a verb in the past, else ""."""
    lemmas = lemminflect.getAllLemmas(word)
    found = [v for v in lemmas.get("VERB", ()) if v != word]
    if word in UNCHANGED:
        return word
    if not found or word.endswith("ing") or (word.endswith("s") and not word.endswith("ss")):
        return ""
    if (
        "NOUN" in lemmas
        and not word.endswith("ed")
        and word
        not in (
            "left",
            "saw",
            "found",
            "felt",
            "rose",
            "drew",
            "shot",
            "led",
            "met",
            "thought",
            "fell",
            "broke",
            "spoke",
        )
    ):
        return ""
    return found[0]


@lru_cache(maxsize=20_000)
def is_common(word: str) -> bool:
    """Whether the lower-case word is in the dictionary of common words."""
    return bool(lemminflect.getAllLemmas(word)) or word in POINTING or len(word) < 3


def names_in(sentence: str, known: frozenset[str]) -> list[tuple[int, int]]:
    """The places of the names in a sentence; a capital at its start counts only if the word is a name elsewhere."""
    out: list[tuple[int, int]] = []
    for m in NAME.finditer(sentence):
        start, text = m.start(), m[0]
        while text:
            first, _, rest = text.partition(" ")
            is_start = (
                start == 0 or sentence[start - 2 : start] in (". ", ": ", "“", "? ") or sentence[start - 1] in "“\"'("
            )
            weak = first.lower() in POINTING or first.lower() in WEAK or bool(rest and re.fullmatch(TITLES, first))
            is_alone = not rest or not rest[0].isupper()
            if not weak and not (is_start and is_alone and first not in known and is_common(first.lower())):
                break
            start += len(first) + (1 if rest else 0)
            text = rest
        text = re.sub(r"['’]s?$", "", text)
        if (
            text
            and re.search("[A-Za-z]{2}", text)
            and text[0].isupper()
            and not re.fullmatch(rf"{MONTH}|{WEEKDAY}", text)
        ):
            out.append((start, start + len(text)))
    return out


def known_names(sentences: list[str]) -> frozenset[str]:
    """Words with a capital inside of sentences: those are names also where a sentence begins with them."""
    inside = [w for s in sentences for w in re.findall(r"(?<=[a-z,;0-9] )[A-Z][\w’'-]+", s)]
    return frozenset(re.sub(r"['’]s$", "", w) for w in inside)


def kinds_of(sentences: list[str], known: frozenset[str]) -> dict[str, str]:
    """The kind of every name of a document, from its form and from what stands around it everywhere."""
    votes: dict[str, Counter[str]] = {}
    text = " ".join(sentences)
    for s in sentences:
        for start, end in names_in(s, known):
            name, before, after = s[start:end], s[:start], s[end:]
            vote = votes.setdefault(name, Counter())
            last = name.split()[-1]
            if last in PLACE_END or re.search(r"\b(?:in|at|near|outside|across) (?:the )?$", before):
                vote["place"] += 3 if last in PLACE_END else 2
            if last in ORG_END or re.fullmatch("[A-Z]{2,6}", name):
                vote["organisation"] += 3
            parts = name.split()
            if re.search(rf"\b(?:{TITLES})\.? $", before) or re.match(r",? aged? \d|, \d\d,", after):
                vote["person"] += 3
            if (
                1 < len(parts) < 4
                and not any(is_common(w.lower()) for w in parts)
                and not before.endswith(("the ", "The "))
            ):
                vote["person"] += 1
            alone = re.search(
                rf"(?<!the )(?<!The )(?<!\w )\b{re.escape(last)}\b|[a-z,;] {re.escape(last)}\b", text.replace(name, "")
            )
            if (
                " " in name
                and len(name.split()) <= 3
                and alone
                and last not in PLACE_END | ORG_END
                and not before.endswith(("the ", "The "))
            ):
                vote["person"] += 2
    kinds = {name: (vote.most_common(1)[0][0] if vote else "name") for name, vote in votes.items()}
    for name in [n for n, kind in kinds.items() if kind == "person" and " " in n]:
        if kinds.get(name.split()[-1]) == "name":
            kinds[name.split()[-1]] = "person"
    return kinds


def spans_of(sentence: str, known: frozenset[str], kinds: dict[str, str]) -> list[Span]:
    """What can be asked for in a sentence, from left to right, none inside of another."""
    found = [Span(m.start(), m.end(), m.lastgroup or "", m[0]) for m in FIGURES.finditer(sentence)]
    found = [_trimmed(s) for s in found]
    found = [s for s in found if s.kind != "count" or (not s.text.isalpha() and len(s.text) > 1)]
    found += [Span(m.start(1), m.end(1), "title", m[1]) for m in QUOTE.finditer(sentence)]
    for start, end in names_in(sentence, known):
        found.append(Span(start, end, kinds.get(sentence[start:end], "name"), sentence[start:end]))
    out: list[Span] = []
    for span in sorted(found, key=lambda s: (s.start, -s.end)):
        if not out or span.start >= out[-1].end:
            out.append(span)
    return out


def common_phrases(sentence: str, taken: list[Span]) -> list[Span]:
    """Noun phrases without names or figures, for texts that have few: «greenhouse gas emissions»."""
    out: list[Span] = []
    run: list[re.Match[str]] = []
    for m in [*re.finditer(r"[A-Za-z'’-]+|[^\sA-Za-z]+", sentence), None]:
        if m and re.fullmatch(r"[a-z][a-z-]+", m[0]) and _is_nominal(m[0]):
            run.append(m)
            continue
        while run and "NOUN" not in lemminflect.getAllLemmas(run[-1][0]):
            run.pop()
        if run and 5 < run[-1].end() - run[0].start() < 45 and len(run) < 5:
            start, end = run[0].start(), run[-1].end()
            if not any(s.start < end and start < s.end for s in taken):
                out.append(Span(start, end, "other", sentence[start:end]))
        run = []
    return out


@lru_cache(maxsize=20_000)
def _is_nominal(word: str) -> bool:
    lemmas = lemminflect.getAllLemmas(word)
    is_other = word in WEAK or word in POINTING or word in AUXILIARIES or ("ADV" in lemmas and "NOUN" not in lemmas)
    return not is_other and ("NOUN" in lemmas or "ADJ" in lemmas) and not (word.endswith("ed") and "NOUN" not in lemmas)


def _trimmed(span: Span) -> Span:
    """The span without «the» in front of a minute, and a count without a verb or a preposition behind it."""
    if span.kind == "minute" and span.text.lower().startswith("the "):
        return Span(span.start + 4, span.end, span.kind, span.text[4:])
    if span.kind == "count" and (
        parts := re.fullmatch(rf"({COUNT}(?: (?:hundred|thousand|million|billion))?)[ -]([a-z]+)", span.text, re.I)
    ):
        nouns = lemminflect.getAllLemmas(parts[2])
        if "NOUN" not in nouns or parts[2] in (
            "for",
            "more",
            "than",
            "out",
            "over",
            "from",
            "with",
            "behind",
            "before",
            "after",
            "down",
            "at",
        ):
            return Span(span.start, span.start + len(parts[1]), span.kind, parts[1])
    return span


def clauses_of(sentence: str, known: frozenset[str]) -> list[Clause]:
    """The clauses whose subject stands directly before a finite verb."""
    pieces = re.split(
        r"(?:;|:|—| – |, (?=(?:and|but|while|who|which|where|when|as|with|having|yet|so|after|before)\b))",
        sentence.rstrip(".!?"),
    )
    return [clause for piece in pieces if (clause := _clause(piece.strip(), known))]


def _clause(piece: str, known: frozenset[str]) -> Clause | None:
    words = list(re.finditer(r"[\w’'&+.-]*\w", piece))
    for i, m in enumerate(words[1:], 1):
        word, before = m[0], piece[: m.start()].rstrip()
        base = _verb_lemma(word) if word.islower() else ""
        if not (base or word in AUXILIARIES):
            continue
        if before.endswith(",") or words[i - 1][0].lower() in (
            "to",
            "and",
            "or",
            "not",
            "by",
            "of",
            "in",
            "at",
            "for",
            "with",
            *AUXILIARIES,
        ):
            return None
        start = _subject_start(before)
        rest = piece[m.end() :].strip()
        if start is None or not rest:
            return None
        later = any(_verb_lemma(w[0]) or w[0] in AUXILIARIES for w in words[i + 1 :] if w[0].islower())
        reduced = base and re.match(r"(?:by|at|in|on|from|with|to)\b", rest) and later
        subject = before[start:].split()
        is_word = len(subject) == 1 and is_common(subject[0].lower()) and not subject[0].isupper()
        if (
            reduced
            or (is_word and subject[0] not in known)
            or subject[0].lower() in POINTING
            or subject[-1].lower() in POINTING | WEAK
        ):
            return None
        return Clause(before[:start].strip(), before[start:], word, base, _first_part(rest))
    return None


def _subject_start(before: str) -> int | None:
    """Where the noun phrase that ends `before` begins; None if that is not clear."""
    name = re.search(rf"(?:^|(?<= ))(?:[Tt]he )?[A-Z][\w’'.&-]*(?: (?:{INNER} )?[A-Z][\w’'&-]*)*$", before)
    if name:
        clean = before[: name.start()].rstrip()
        is_free = (
            not clean
            or clean.endswith((",", "and", "but", "when", "as", "while", "after", "that"))
            or re.search(r"\d$", clean)
        )
        return name.start() if is_free else None
    noun = re.search(
        r"(?:^|(?<=, )|(?<= and )|(?<= when ))(?:[Tt]he|An?|[Tt]heir|[Ii]ts) (?:[\w’'-]+ ){0,3}[\w’'-]+$", before
    )
    return noun.start() if noun and not re.search(r"\b(?:of|in|at|on|by|for|with|from|to)\b", noun[0]) else None


def _first_part(rest: str) -> str:
    """The rest up to the next clause: commas of dates and places stay inside."""
    cut = re.search(
        r", (?!\d{4}\b|[A-Z][a-z]+(?:,|$| on\b| in\b))|\s\("
        r"| (?:and|but) (?=[a-z]+(?:ed|t)\b|was\b|were\b|had\b|then\b|so\b)",
        rest,
    )
    return rest[: cut.start()] if cut else rest

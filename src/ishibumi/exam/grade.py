"""Right or wrong: a reply against the gold answer, Japanese and English. (reply, Question) → bool."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ishibumi.exam.normalise import MONTHS, Token, tokens
from ishibumi.exam.questions import Question

# A short answer fits; a reply that goes on and names everything gains nothing by it.
MAX_REPLY_CHARACTERS = 100

LABEL = re.compile(r"^\s*(?:答え|回答|正解|answer|a)\s*[:：]\s*", re.IGNORECASE)
POLITE_ENDING = re.compile(r"(?:です|でした|だ|である)?[。.!！\s]*$")
BRACKETS = re.compile(r"[(（\[［【〔].*?[)）\]］】〕]")

# 準決勝 is not 決勝, vice-president is not president, 北アイルランド is not アイルランド.
CHANGING_PREFIXES = frozenset("準々副非不未反") | {"semi", "quarter", "vice", "non"}
CHANGING_BEFORE_KATAKANA = frozenset("東西南北")
NOT_AFTER = ("ではな", "ではあり", "でな", "じゃな")
EITHER = ("または", "もしくは", "あるいは", "それとも")
SHOOT_OUT = re.compile("pk|ペナルティ|penalt|shoot")
SHOOT_OUT_AFTER = re.compile("(?:on|in|after|の)?(?:pk|ペナルティ|penalt|shoot)")
# Words after a number that say nothing about what it counts.
NO_UNIT = re.compile("[ぁ-ん]|or|and|to|in|on|at|by|of|for|with|from")


@dataclass(frozen=True)
class _Line:
    """Tokens written together, with the places where one begins or ends."""

    tokens: tuple[Token, ...]
    text: str
    starts: tuple[int, ...]  # of every token, and the length of the text at the end


def is_exact(reply: str, question: Question) -> bool:
    """Whether `reply` is the gold answer or an accepted spelling, and nothing else.

    A label («答え:», «Answer:») before it and です, でした, だ, である after it do not count.
    """
    line = LABEL.sub("", reply)
    written = _line(tokens(POLITE_ENDING.sub("", line))).text
    whole = _line(tokens(line)).text
    return any(gold.text in (written, whole) for gold in _golds(question))


def contains_answer(reply: str, question: Question) -> bool:
    """Whether `reply` names the gold answer, or an accepted spelling, and does not hedge.

    Only the first line counts, of it the first 100 characters. The answer must stand there as whole tokens: a number
    is never found inside a longer number, a score inside a longer score, a Latin or katakana word inside a longer word;
    nor after a prefix that changes it (準決勝 for 決勝), nor where it is negated (スペインではなく, not Spain) or one
    of two offers (スペインまたはフランス, Spain or France).

    Hedging: if the answer holds a number or a score, the reply may not name a different one of the same form outside
    brackets. Two scores have the same form unless exactly one is of a penalty shoot-out (PK, penalties). Two numbers
    have the same form when the same word follows both (45分、106分), or nothing does (1, 2, 3); a year such as 2026 and
    the day beside an English month are forms of their own. Numbers of any accepted spelling are not different ones.
    """
    line = _line(tokens(_first_line(reply)))
    outside = _line(tokens(BRACKETS.sub(" ", _first_line(reply))))
    golds = _golds(question)
    right = {token.text for gold in golds for token in gold.tokens if token.form in ("number", "score")}
    for gold in golds:
        for first, last in _places(gold, line):
            if _is_meant(line, first, last) and not _is_hedged(line, outside, first, last, right):
                return True
    return False


def _golds(question: Question) -> list[_Line]:
    return [line for line in (_line(tokens(gold)) for gold in (question.answer, *question.accept)) if line.text]


def _first_line(reply: str) -> str:
    line = next((line for line in reply.splitlines() if line.strip()), "")
    if len(line) <= MAX_REPLY_CHARACTERS:
        return line
    # A number that the cut goes through must not turn into a shorter one.
    return re.sub(r"[0-9０-９,.]+$", "", line[:MAX_REPLY_CHARACTERS])


def _line(found: Sequence[Token]) -> _Line:
    text, starts = "", [0]
    for index, token in enumerate(found):
        # Words join, so that «semi-final» is «semifinal»; numbers must not: «1 1» is not «11».
        apart = index > 0 and token.form in ("number", "score") and found[index - 1].form in ("number", "score")
        text += " " * apart
        starts[-1] = len(text)
        text += token.text
        starts.append(len(text))
    return _Line(tuple(found), text, tuple(starts))


def _places(gold: _Line, line: _Line) -> list[tuple[int, int]]:
    """The (first, last + 1) token numbers at which `gold` stands in `line` as whole tokens."""
    index_of = {start: index for index, start in enumerate(line.starts)}
    ends = {line.starts[i] + len(token.text): i + 1 for i, token in enumerate(line.tokens)}
    places: list[tuple[int, int]] = []
    at = line.text.find(gold.text)
    while at >= 0:
        if at in index_of and at + len(gold.text) in ends:
            places.append((index_of[at], ends[at + len(gold.text)]))
        at = line.text.find(gold.text, at + 1)
    return places


def _is_meant(line: _Line, first: int, last: int) -> bool:
    """Whether the answer at these tokens is not changed by a prefix, negated or offered beside another."""
    before = line.tokens[first - 1].text if first else ""
    head, tail = line.text[: line.starts[first]], "".join(token.text for token in line.tokens[last:])
    if before in CHANGING_PREFIXES or before in ("not", "or"):
        return False
    if line.tokens[first].form == "katakana" and before in CHANGING_BEFORE_KATAKANA:
        return False
    next_text = line.tokens[last].text if last < len(line.tokens) else ""
    if next_text == "or" or tail.startswith(NOT_AFTER) or tail.startswith(EITHER):
        return False
    return not head.endswith(EITHER)


def _is_hedged(line: _Line, outside: _Line, first: int, last: int, right: set[str]) -> bool:
    """Whether `outside` brackets another number of the same form stands than those of the answer."""
    forms = {_form(line, index) for index in range(first, last)} - {None}
    others = enumerate(outside.tokens)
    return any(_form(outside, index) in forms and token.text not in right for index, token in others)


def _form(line: _Line, index: int) -> str | None:
    """What kind of figure the token is: «score», «shoot-out», «number 分», …; None for a word."""
    token = line.tokens[index]
    after = line.tokens[index + 1] if index + 1 < len(line.tokens) else Token("", "other")
    if token.form == "score":
        return "shoot-out" if _is_of_shoot_out(line, index) else "score"
    if token.form != "number":
        return None
    if (index and line.tokens[index - 1].text in MONTHS) or after.text in MONTHS:
        return "day of month"
    if after.text and after.form not in ("number", "score") and not NO_UNIT.fullmatch(after.text):
        return f"number {after.text}"
    return "year" if re.fullmatch(r"[12]\d{3}", token.text) else "number"


def _is_of_shoot_out(line: _Line, index: int) -> bool:
    """PK戦4-3 and «4-3 on penalties» are; the second of «4-3 on penalties after 1-1» is not."""
    near: list[str] = []
    for token in reversed(line.tokens[max(0, index - 4) : index]):
        if token.form == "score" or token.text in ("after", "後"):
            break
        near.insert(0, token.text)
    later = "".join(token.text for token in line.tokens[index + 1 : index + 4])
    return bool(SHOOT_OUT.search("".join(near)) or SHOOT_OUT_AFTER.match(later))

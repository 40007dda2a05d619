"""A long reply graded figure by figure. (reply, FreeQuestion) → [Graded], each right, wrong or missing.

Rules for Japanese: they know who won whom and which number follows from which, but not every turn of the language.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ishibumi.exam.attribution import Attribution
from ishibumi.exam.free_questions import FreeQuestion, Number, Words

Verdict = Literal["right", "wrong", "missing"]
WORST_FIRST: tuple[Verdict, ...] = ("wrong", "missing", "right")

TOTAL = re.compile("(?:合わせて?|あわせて?|合計|計|両党)[^0-9、]{0,4}$")
MAJORITY_OR_PART = re.compile(
    "(?:(?:過半数|定数)(?:ライン|に必要な|となる|である|にあたる|は|の)?、?|全|"
    "(?:差|増加|減少|上積み)幅?[はも]|(?:増え|減っ|失っ)た議席は|(?:小選挙区|比例|議員|党員|党友|県連|地方|連合会)[^0-9、]{0,8}|"
    "(?:小選挙区|比例(?:代表)?)で?は(?![^。]*(?:計|合わせて?)$)[^。]*)$"
)
ALL_OR_DENIED = re.compile("のうち|の?中|の過半数|(?:で|じゃ)はな|ではあり")
CHANGE = re.compile(
    "の?差|上回|下回|多|少|足|届|及|不足|を?(?:(?P<up>増|伸ば|上積|上乗|プラス)|(?P<down>減|失|マイナス))"
)
OLD = re.compile("(?:公示前|選挙前|改選前|前回|解散前|解散時|従来)[^0-9、]{0,8}$|、同$")
FROM, FROM_OR_WAS = re.compile("から|より"), re.compile("から|より|対|だった(?![、。])")
KEPT = re.compile("維持|変わら|横ばい|増減(?:は|が)?な|変化(?:は|が)?な|同じ|同数|のまま|守")
DENIED = re.compile("(?:で|じゃ)はな|でな|ではあり")


@dataclass(frozen=True)
class Graded:
    """One figure of a question and what the reply says of it."""

    id: str
    verdict: Verdict


def grade_figures(reply: str, question: FreeQuestion) -> list[Graded]:
    """Each figure, in order: wrong if one of its claims is contradicted, right if all are told, else missing.

    A right number beside another one that stands for the same is contradicted, and so is one that belongs to another
    name. Parts (小選挙区, 党員票), differences (21票差) and the majority are not taken for the number itself.
    """
    read = Attribution(reply, question.names, question.scopes)
    graded = [(figure.id, [_verdict(read, claim) for claim in figure.claims]) for figure in question.figures]
    return [Graded(name, next(v for v in WORST_FIRST if v in verdicts)) for name, verdicts in graded]


def _verdict(read: Attribution, claim: Number | Words) -> Verdict:
    if isinstance(claim, Number):
        return _number(read, claim)
    said = _words(read, claim)
    told = claim.number and said == "missing" and _number(read, claim.number) == "right"
    return "right" if told else said


def _number(read: Attribution, claim: Number) -> Verdict:
    counted: set[int] = set()
    bare: set[int] = set()  # without a unit; they count only where none has one: 石破茂氏（67）が215票
    old: set[int] = set()
    numbers = rf"(?<![\d.])(\d{{1,9}})(?:({claim.unit})|(?=[、。対をでとのにがはへか増減 ]))"
    for match in re.finditer(numbers, read.text):
        value, head, tail = int(match[1]), read.text[: match.start()], read.text[match.end() :]
        if MAJORITY_OR_PART.search(head) or ALL_OR_DENIED.match(tail) or not _is_of(read, claim, *match.span()):
            continue
        if change := CHANGE.match(tail):
            old |= {claim.value - value} if change["up"] else {claim.value + value} if change["down"] else set()
        elif OLD.search(head) or (FROM if claim.before is None else FROM_OR_WAS).match(tail):
            old.add(value)
        else:
            (counted if match[2] else bare).add(value)
    now = counted or bare
    if claim.before is None:
        return "wrong" if now - {claim.value} else "right" if now else "missing"
    for match in re.finditer(r"([1-9]\d{0,8})倍", read.text):
        old |= {claim.value // int(match[1])} if _is_of(read, claim, *match.span()) else set()
    is_kept = any(_is_of(read, claim, *match.span()) for match in KEPT.finditer(read.text))
    if is_kept and (claim.before == claim.value or not now):
        now = old = now | old
    if now - {claim.value} or old - {claim.before}:
        return "wrong"
    return "right" if now and old else "missing"


def _is_of(read: Attribution, claim: Number, start: int, end: int) -> bool:
    """Whether a place is of the claim's name: directly, or as the total of its parts (自民191、公明24の計215)."""
    if claim.scope and read.scope(start) != claim.scope:
        return False
    owner = read.owner(start, end)
    number = re.match(r"\d+", read.text[start:end])
    if number and owner in claim.parts and TOTAL.search(read.text[:start]):
        since = min(read.last_mention(part, start) for part in claim.parts)
        smaller = re.findall(rf"(\d{{1,9}}){claim.unit}", read.text[since:start])
        return since >= 0 and int(number[0]) > max(map(int, smaller), default=0)
    return owner == claim.name


def _words(read: Attribution, claim: Words) -> Verdict:
    said: list[tuple[int, int, bool]] = []
    rest = read.nameless
    for patterns, is_right in ((claim.words, True), (claim.against, False)):
        for match in [m for pattern in patterns for m in re.finditer(pattern, rest)]:
            said.append((*match.span(), is_right))
            rest = rest[: match.start()] + "◇" * len(match[0]) + rest[match.end() :]
    said.sort()
    verdicts: set[bool | None] = set()
    for start, end, is_right in said:
        following = next((later for later, _, _ in said if later > end + 4), len(rest))  # 第1戦か第2戦で go together
        stretch = read.text if len(said) == 1 else read.text[start:following]
        clause = re.split("[、。]", read.text[:start])[-1] + re.split("[、。]", read.text[start:])[0]
        is_near = not claim.near or any(word in stretch for word in claim.near)
        is_elsewhere = not is_right and any(word in clause for word in claim.elsewhere)
        if is_near and not is_elsewhere and not DENIED.match(rest, end):
            verdicts.add(_supports(read, claim, (start, end), is_right))
    return "wrong" if False in verdicts else "right" if True in verdicts or claim.optional else "missing"


def _supports(read: Attribution, claim: Words, place: tuple[int, int], is_right: bool) -> bool | None:
    """True if this word supports the claim, False if it contradicts it, None if it says nothing of it."""
    if claim.name is None:
        return is_right
    if claim.scope and read.scope(place[0]) != claim.scope:
        return None
    owner = read.owner(*place)
    if owner == claim.name or (owner and is_right):
        return is_right == (owner == claim.name)
    return True if owner and owner == claim.rival else None

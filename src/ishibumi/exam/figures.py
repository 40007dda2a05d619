"""A long reply graded figure by figure. (reply, FreeQuestion) → [Graded], each right, wrong or missing.

The reply becomes plain text: one width, digits for kanji numbers, «、» between clauses and «。» between sentences. Each
number and each word in it belongs to one name: the name that it describes (215票の石破氏), else the last one before it in
the sentence that is no object (石破氏が高市氏を…), else the only one after it, else the subject of the sentence before.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from ishibumi.exam.free_questions import FreeQuestion, Number, Words
from ishibumi.exam.normalise import tokens

Verdict = Literal["right", "wrong", "missing"]

LIST_MARK = re.compile(r"^\s*(?:\d{1,2}[.)]\s|[-*•・#]+\s*)", re.M)
BORDERS = re.compile(r"[、;()\[\]「」『』【】〈〉|*]|[,:](?!\d)")
CLEFT = re.compile("([^、。]*)のは、?([^、。]+)")  # 勝ったのは石破氏 → 石破氏、勝った
TITLE = "(?:[^ぁ-ん、。0-9]|さん)*"
OBJECT = re.compile(TITLE + "(?:[をに](?![はも])|と(?![はも])|より|から)")
DESCRIBES = re.compile("[^、。0-9]{0,12}[たの]")
TOTAL = re.compile("(?:合わせて?|あわせて?|合計|計|両党)[^0-9、]{0,4}$")
NOT_OF_THE_RESULT = re.compile(
    "(?:(?:過半数|定数)(?:ライン|に必要な|となる|である|にあたる|は|の)?、?|全|"
    "(?:小選挙区|比例|議員|党員|党友|県連|地方|連合会)[^0-9、]{0,6})$"
)
OF_ALL = re.compile("のうち|の?中|の過半数|(?:で|じゃ)はな|ではあり")
CHANGE = re.compile("を?(?:の?差|上回|下回|多|少|足|届|及|不足|(?P<up>増|伸ば|上積|上乗|プラス)|(?P<down>減|失|マイナス))")
BEFORE = re.compile("(?:公示前|選挙前|改選前|前回|解散前|解散時|従来)[^0-9、]{0,8}$")
UNTIL = re.compile("から|より|対|だったのが|だったが")
KEPT = re.compile("維持|変わら|横ばい|増減(?:は|が)?な|変化(?:は|が)?な|同じ|同数|のまま|守")
DENIED = re.compile("(?:で|じゃ)はな|でな|ではあり")


@dataclass(frozen=True)
class Graded:
    """One figure of a question and what the reply says of it."""

    id: str
    verdict: Verdict


def grade_figures(reply: str, question: FreeQuestion) -> list[Graded]:
    """Each figure, in order: right if all its claims are, wrong if one is contradicted, else missing."""
    read = _Reply(_plain(reply), question)
    graded: list[Graded] = []
    for figure in question.figures:
        verdicts = [read.number(c) if isinstance(c, Number) else read.words(c) for c in figure.claims]
        worst = next((v for v in ("wrong", "missing") if v in verdicts), "right")
        graded.append(Graded(figure.id, worst))
    return graded


def _plain(reply: str) -> str:
    text = LIST_MARK.sub("", unicodedata.normalize("NFKC", reply))
    text = re.sub("→|⇒|->", "から", text)
    text = re.sub(r"(?<=[(、\s])[-−▲△](\d+)", r"\1減", re.sub(r"[+](\d+)", r"\1増", text))
    text = re.sub(r"(?<![\d/])(1?\d)/([123]?\d)(?![\d/])", r"\1月\2日", text)
    text = re.sub(r"(\d+)\s*/\s*(\d+)", r"\1、全\2", text)
    sentences = [[_joined(clause) for clause in BORDERS.split(s)] for s in re.split(r"[。!?\n]+", text)]
    joined = ("、".join(filter(None, clauses)) for clauses in sentences)
    return "。".join(CLEFT.sub(r"\2、\1", sentence) for sentence in joined if sentence) + "。"


def _joined(clause: str) -> str:
    """The tokens of a clause, with nothing but a space between two numbers; a score 2:1 is 2対1."""
    return re.sub(r"(?<=\d) (?=\D)|(?<=\D) ", "", " ".join(t.text for t in tokens(clause))).replace(":", "対")


class _Reply:
    """A plain reply with the places of the question's names and scopes in it."""

    def __init__(self, text: str, question: FreeQuestion) -> None:
        keys = {_joined(alias): key for key, aliases in question.names.items() for alias in (key, *aliases)}
        pattern = "|".join(map(re.escape, sorted(keys, key=len, reverse=True)))
        self.text = text
        self.names = [(m.start(), m.end(), keys[m[0]]) for m in re.finditer(pattern, text)]
        self.nameless = re.sub(pattern, lambda m: "◇" * len(m[0]), text)
        self.default_scope = next(iter(question.scopes), None)
        found = [(m.start(), key) for key, ps in question.scopes.items() for p in ps for m in re.finditer(p, text)]
        self.scopes = sorted(found)

    def number(self, claim: Number) -> Verdict:
        """Whether the counts of the claim's name are its value, and nothing else."""
        now: set[int] = set()
        old: set[int] = set()
        for match in re.finditer(rf"(?<![\d.])(\d+)(?:{claim.unit}|(?=[、。対をでとのにがはへか ]))", self.text):
            head, tail = self.text[: match.start()], self.text[match.end() :]
            if NOT_OF_THE_RESULT.search(head) or OF_ALL.match(tail) or not self._is_of(claim, match):
                continue
            if change := CHANGE.match(tail):
                step = int(match[1]) * (-1 if change["down"] else 1)
                old |= {claim.value - step} if change["up"] or change["down"] else set()
            elif BEFORE.search(head) or (UNTIL.match(tail) and (claim.before is not None or tail[0] != "対")):
                old.add(int(match[1]))
            else:
                now.add(int(match[1]))
        if claim.before is None:
            return "wrong" if now - {claim.value} else "right" if now else "missing"
        for match in re.finditer(r"(\d+)倍", self.text):
            old |= {claim.value // int(match[1])} if int(match[1]) and self._is_of(claim, match) else set()
        kept = any(self._is_of(claim, match) for match in KEPT.finditer(self.text))
        if kept and (claim.before == claim.value or not now):
            now, old = now | old, now | old
        if now - {claim.value} or old - {claim.before}:
            return "wrong"
        return "right" if now and old else "missing"

    def words(self, claim: Words) -> Verdict:
        """Whether one of the words is said of the claim's name, and nothing against it."""
        rest, said = self.nameless, list[tuple[re.Match[str], bool]]()
        for patterns, is_right in ((claim.words, True), (claim.against, False)):
            found = [m for p in patterns for m in re.finditer(p, rest)]
            said += [(m, is_right) for m in found]
            for m in found:
                rest = rest[: m.start()] + "◇" * len(m[0]) + rest[m.end() :]
        said.sort(key=lambda pair: pair[0].start())
        starts = [m.start() for m, _ in said] + [len(self.text)]
        verdicts: set[bool | None] = set()
        for index, (match, is_right) in enumerate(said):
            stretch = self.text if len(said) == 1 else self.text[match.start() : starts[index + 1]]
            clause = re.split("[、。]", self.text[: match.start()])[-1] + re.split("[、。]", self.text[match.start() :])[0]
            is_near = not claim.near or any(word in stretch for word in claim.near)
            if is_near and not any(word in clause for word in claim.elsewhere) and not DENIED.match(rest, match.end()):
                verdicts.add(self._said(claim, match, is_right))
        return "wrong" if False in verdicts else "right" if True in verdicts or claim.optional else "missing"

    def _said(self, claim: Words, match: re.Match[str], is_right: bool) -> bool | None:
        """Whether this word supports the claim (True), contradicts it (False) or says nothing of it (None)."""
        if claim.name is None:
            return is_right
        if not self._in_scope(claim.scope, match.start()):
            return None
        if (owner := self._owner(match.start(), match.end())) == claim.name or (is_right and owner):
            return is_right == (owner == claim.name)
        ends = [end for _, end, key in self.names if key == claim.name and end <= match.start()]
        beaten_by = ends and re.fullmatch(TITLE + "に[^、。]{0,8}", self.text[ends[-1] : match.start()])
        return True if owner and beaten_by else None

    def _is_of(self, claim: Number, match: re.Match[str]) -> bool:
        if not self._in_scope(claim.scope, match.start()):
            return False
        owner = self._pair_owner(match) or self._owner(match.start(), match.end())
        if owner in claim.parts and TOTAL.search(self.text[: match.start()]):
            return True
        return owner == claim.name

    def _in_scope(self, scope: str | None, at: int) -> bool:
        """Whether the last heading before `at` is `scope`; without a heading the question's first one stands."""
        return scope is None or scope == next((k for s, k in reversed(self.scopes) if s <= at), self.default_scope)

    def _owner(self, start: int, end: int) -> str | None:
        first, last = self.text.rfind("。", 0, start) + 1, self.text.find("。", end)
        later = next((name for name in self.names if end <= name[0] <= last), None)
        if later and DESCRIBES.fullmatch(self.text[end : later[0]]):
            return later[2]
        subjects = [name for name in self.names if name[1] <= start and not OBJECT.match(self.text, name[1])]
        if subjects and subjects[-1][0] >= first:
            return subjects[-1][2]
        has_earlier = any(first <= name[0] < start for name in self.names)
        if later and not has_earlier:
            return later[2]
        return subjects[-1][2] if subjects else None

    def _pair_owner(self, match: re.Match[str]) -> str | None:
        """The owner of a number in 215対194: the first belongs to the subject, the second to the other name."""
        is_first = self.text.startswith("対", match.end()) and re.match(r"対\d", self.text[match.end() :])
        is_second = re.search(r"\d[^\d、。]{0,2}対$", self.text[: match.start()])
        if not (is_first or is_second):
            return None
        last = self.text.find("。", match.end())
        here = self.text.rfind("。", 0, match.start())
        for first in (here + 1, self.text.rfind("。", 0, max(here, 0)) + 1):
            order: dict[str, tuple[bool, int]] = {}
            for start, end, key in self.names:
                if first <= start < last:
                    place = (bool(OBJECT.match(self.text, end)), start)
                    order[key] = min(order.get(key, place), (place[0], order.get(key, place)[1]))
            if len(order) == 2:
                return sorted(order, key=lambda key: order[key])[0 if is_first else 1]
        return None

"""Whose a number or a word in a Japanese reply is. (reply, names, headings) → Attribution.

The reply becomes plain text: one width, digits for kanji numbers, «、» between clauses, «。» after sentences. A place
in it belongs to the name that it follows directly (石破氏の215票), to the one that it describes (215票の石破氏), to the
last name before it in the sentence that is no object (石破氏が高市氏を…) or to a name after it, whichever comes
first; a number else to the last subject of the sentences before.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from ishibumi.exam.normalise import tokens

LIST_MARK = re.compile(r"^\s*(?:\d{1,2}[.)]\s|[-*•・#]+\s*)", re.M)
BORDERS = re.compile(r"[、;()\[\]「」『』【〈〉|*]|[,:](?!\d)")
CLEFT = re.compile("([^、。]*)のは、?(?![0-9]+[票議人])([^、。]+)")  # 勝ったのは石破氏 → 石破氏、勝った
TITLE = "(?:[^ぁ-ん、。0-9]|さん)*"
OBJECT = re.compile(TITLE + "(?:、[^、。ぁ-ん]{1,8}、)?(?:[をに](?![はも])|と(?![はも])|より|から|の(?=[0-9]))")
OBJECT_OF_VERB = re.compile(f"{OBJECT.pattern}|{TITLE}の")
DESCRIBES = re.compile("[^、。0-9]{0,12}[たの]")
# Other writings of the same: an arrow, a sign, a day and a share with a stroke.
SIGNS = (
    (r"→|⇒|->", "から"),
    (r"±0", "増減なし"),
    (r"\+(\d+)", r"\1増"),
    (r"(?<=[(、\s])[-−▲△](\d+)", r"\1減"),
    (r"(?<![\d/回])(1?\d)/([123]?\d)(?![\d/])", r"\1月\2日"),
    (r"(\d+)\s*/\s*(\d+)", r"\1、全\2"),
)


class Attribution:
    """A reply as plain text, with the places of names and headings in it; the first heading stands at the start."""

    def __init__(self, reply: str, names: Mapping[str, Sequence[str]], scopes: Mapping[str, Sequence[str]]) -> None:
        keys = {_joined(alias): key for key, aliases in names.items() for alias in (key, *aliases)}
        pattern = "|".join(map(re.escape, sorted(keys, key=len, reverse=True))) or "(?!)"
        self.text = _plain(reply)
        self.nameless = re.sub(pattern, lambda m: "◇" * len(m[0]), self.text)
        self._names = [(m.start(), m.end(), keys[m[0]]) for m in re.finditer(pattern, self.text)]
        found = ((m.start(), key) for key, ps in scopes.items() for p in ps for m in re.finditer(p, self.text))
        self._scopes = [(0, next(iter(scopes), None)), *sorted(found)]

    def scope(self, at: int) -> str | None:
        """The last heading before `at`."""
        return [key for start, key in self._scopes if start <= at][-1]

    def sentence(self, start: int, end: int) -> tuple[int, int]:
        """Where the sentence that holds this place begins and ends."""
        return self.text.rfind("。", 0, start) + 1, self.text.find("。", end)

    def last_mention(self, name: str, before: int) -> int:
        """Where the name stands last before a place; -1 if it does not."""
        return max((start for start, end, key in self._names if key == name and end <= before), default=-1)

    def owner(self, start: int, end: int) -> str | None:
        """The name that the place belongs to; None if there is none yet."""
        if pair := self._pair_owner(start, end):
            return pair
        first, last = self.sentence(start, end)
        earlier = [name for name in self._names if name[1] <= start]
        between = self.text[earlier[-1][1] : start] if earlier else "。"
        if re.fullmatch(TITLE + "の?", between):
            return earlier[-1][2]
        later = next((name for name in self._names if end <= name[0] <= last), None)
        is_first = not earlier or earlier[-1][0] < first
        if later and (is_first or DESCRIBES.fullmatch(self.text[end : later[0]])):
            return later[2]
        is_number = self.text[start].isdigit()
        if is_number and re.fullmatch(TITLE + "、", between):
            return earlier[-1][2]
        # A number may belong to the subject of a sentence before; who won must be said in the same sentence.
        steps = ((OBJECT, first), (OBJECT, 0)) if is_number else ((OBJECT_OF_VERB, first), (OBJECT, first))
        for marked, since in steps:
            if subjects := [n for n in earlier if n[0] >= since and not marked.match(self.text, n[1])]:
                return subjects[-1][2]
        return None

    def _pair_owner(self, start: int, end: int) -> str | None:
        """The owner of a number in 215対194: the first belongs to the subject, the second to the other name."""
        is_first = re.match(r"対\d", self.text[end:])
        if not (is_first or re.search(r"\d[^\d、。]{0,2}対$", self.text[:start])):
            return None
        here, last = self.sentence(start, end)
        for first in (here, self.sentence(max(here - 1, 0), end)[0]):
            order: dict[str, tuple[bool, int]] = {}
            for at, after, key in self._names:
                if first <= at < last:
                    is_object = bool(OBJECT.match(self.text, after))
                    order[key] = (is_object and order.get(key, (True,))[0], order.get(key, (True, at))[1])
            if len(order) == 2:
                return sorted(order, key=lambda key: order[key])[0 if is_first else 1]
        return None


def _plain(reply: str) -> str:
    text = LIST_MARK.sub("", unicodedata.normalize("NFKC", reply))
    for written, meant in SIGNS:
        text = re.sub(written, meant, text)
    sentences = [[_joined(clause) for clause in BORDERS.split(s)] for s in re.split(r"[。!?\n】]+", text)]
    joined = ("、".join(filter(None, clauses)) for clauses in sentences)
    return "。".join(CLEFT.sub(r"\2、\1", sentence) for sentence in joined if sentence) + "。"


def _joined(clause: str) -> str:
    """The tokens of a clause, with nothing but a space between two numbers; a score 2:1 is 2対1."""
    return re.sub(r"(?<=\d) (?=\D)|(?<=\D) ", "", " ".join(t.text for t in tokens(clause))).replace(":", "対")

"""What a writing model replied, read forgivingly. reply → a text, wordings of facts, or questions with answers.

Numbering, bullets, bold, full-width signs, a preface, a closing remark and the cut end of a reply are taken off;
lines without the asked form are skipped.
"""

import re

_THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_MARKUP = re.compile(r"\*\*|__|`+\w*$|`|^#{1,6}\s+|^>\s+", re.MULTILINE)
_NUMBERING = re.compile(r"^(?:[-*+•](?=\s)|[・●○■□①-⑳]|[(（]?\d{1,2}(?:[)）．、]|\.(?=\s|[QFA][:：])))\s*")
_PREFACE = re.compile(
    r"(?:sure|certainly|of course|okay|here(?:'s| is| are)|below|以下|はい、|もちろん|承知).*|.{0,150}[:：]", re.I
)
_CLOSING = re.compile(r"(?:let me know|i hope|hope this|feel free|以上です|以上が|お役に立|必要であれば).*", re.I)
_SENTENCES = re.compile(r".*(?:[。！？!?\n]|\.(?=\s))", re.DOTALL)
_QUOTED = re.compile('["\'“‘「『]([^"“”「」『』]+)["\'”’」』]')
_ASKED_AGAIN = (
    "the same question in other words|同じことを別の言葉で問う質問"  # the form itself, which small models copy
)
_Q, _A, _F = (
    rf"(?:Q|Question|{_ASKED_AGAIN}|質問|問題|問い|問)",
    r"(?:A|Answer|Ans|回答|解答|答え|答)",
    r"(?:F|Fact|事実)",
)
_LABEL = re.compile(
    rf"(?:(?P<q>{_Q})|(?P<a>{_A})|(?P<f>{_F}))\s*\d{{0,2}}\s*[:：]\s*(?:(?:{_ASKED_AGAIN})\s*[:：]\s*)?", re.I
)
_INNER_LABEL = re.compile(rf"(?<=[?？。.!])\s*(?={_A}\s*\d{{0,2}}\s*[:：])", re.I)


def read_text(reply: str, *, stopped: bool) -> str:
    """The text of a reply; of one that was cut off, its whole sentences. Empty if nothing is left."""
    if not stopped:
        found = _SENTENCES.match(reply)
        reply = found[0] if found else ""
    lines = _lines(reply)
    if len(lines) > 1 and _PREFACE.fullmatch(lines[0]):
        lines = lines[1:]
    if len(lines) > 1 and _CLOSING.fullmatch(lines[-1]):
        lines = lines[:-1]
    return "\n".join(lines)


def read_facts(reply: str, *, stopped: bool) -> list[list[str]]:
    """The facts of a reply, each a list of wordings: lines «F: wording | wording»."""
    facts: list[list[str]] = []
    for line in _lines(reply if stopped else reply.rpartition("\n")[0]):
        cells = _cells(line)
        labels = [_LABEL.match(cell) for cell in cells]
        if len(cells) > 1 or (labels and labels[0] and labels[0]["f"]):
            bare = [cell[label.end() :] if label else cell for cell, label in zip(cells, labels, strict=True)]
            facts.append([cell for cell in bare if cell])
    return facts


def read_questions(reply: str, *, stopped: bool) -> list[tuple[str, str]]:
    """The (question, answer) pairs of a reply: «Q: … | Q: … | A: …», or question and answer on lines of their own.

    A question that begins a line starts anew, so that one without an answer never gets the answer of the next.
    """
    pairs: list[tuple[str, str]] = []
    asked: list[str] = []
    for line in _lines(reply if stopped else reply.rpartition("\n")[0]):
        for position, cell in enumerate(_cells(_INNER_LABEL.sub("|", line))):
            label = _LABEL.match(cell)
            body = cell[label.end() :] if label else cell
            if label and label["a"]:
                pairs += [(question, _bare(body)) for question in asked if _bare(body)]
                asked = []
            elif label and label["q"]:
                asked = [*(asked if position else []), body]
            elif position and asked and body:
                asked.append(body)
            else:
                asked = []
    return pairs


def _lines(reply: str) -> list[str]:
    """The lines of a reply without thoughts, markup, bullets and numbering; no empty ones."""
    plain = _MARKUP.sub("", _THOUGHTS.sub("", reply))
    return [bare for line in plain.splitlines() if (bare := _NUMBERING.sub("", line.strip()).strip())]


def _cells(line: str) -> list[str]:
    """The cells of a line between | or ｜, without empty ones and rulers (---)."""
    return [cell.strip() for cell in re.split(r"[|｜]", line) if cell.strip(" \t-:：")]


def _bare(answer: str) -> str:
    """An answer without the quotes around it and the full stop after it («U.S.» and several sentences keep theirs)."""
    answer = answer.strip()
    if answer.count("。") > 1:
        return answer
    quoted = _QUOTED.fullmatch(answer.rstrip("。"))
    answer = (quoted[1] if quoted else answer).strip().rstrip("。")
    return answer[:-1] if answer.endswith(".") and answer.count(".") == 1 else answer

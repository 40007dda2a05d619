"""Japanese words: text → [Token], with dates, scores, numbers and names as one word each.

Why SudachiPy: questions and rewordings must cut a sentence at phrase borders, know which run is a person, a place or a
number, and put a verb into another form. Characters alone do not tell that (綺世 is a name, 開催地 is not; した and
しました are one verb). SudachiPy is a dictionary analyser (Apache-2.0, wheels for all systems, no network), not a
language model, and reads about 50,000 characters a second.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from sudachipy import Dictionary, SplitMode, Tokenizer

NUMERAL = r"(?:\d[\d,.]*(?:[百千万億兆]\d*)*|[一二三四五六七八九十]+)"
FIXED = re.compile(
    r"(?P<quote>「[^「」]{1,40}」|『[^『』]{1,40}』)"
    r"|(?P<date>(?:(?:\d{3,4}|(?:明治|大正|昭和|平成|令和)(?:\d{1,2}|元))年)(?!\d{1,2}月期)(?:\d{1,2}月(?:\d{1,2}日)?)?(?![度代間期目])"
    r"|\d{1,2}月\d{1,2}日(?!間)|\d{1,2}月(?![期号])|\d{1,2}世紀(?:[前後]半|初頭|末)?)"
    r"|(?P<time>(?:午前|午後)\d{1,2}時(?:\d{1,2}分|半)?|(?<![\d間])\d{1,2}時(?!間)(?:\d{1,2}分|半)?)"
    r"|(?P<score>(?<![\d.―–—−-])\d{1,3}(?:[―–—−-]|対)\d{1,3}(?![\d.―–—−:人円年月日分回kKcm%-]))"
    r"|(?P<katakana>[ァ-ヴー]{2,}(?:[・＝=][ァ-ヴー]+)+)"
    r"|(?P<latin>[A-Za-z][A-Za-z0-9&.'-]*(?: [A-Z0-9][A-Za-z0-9&.'-]*)*)"
)
NAMES = (("人名", "一般"), ("人名", "姓"), ("人名", "名"), ("地名", "一般"))
VOICES = ("助動詞-レル", "助動詞-ラレル", "助動詞-セル", "助動詞-サセル")


@dataclass(frozen=True)
class Token:
    """One word; `pos` is Sudachi's six-part class, `kind` marks fixed spans such as dates and scores."""

    text: str
    pos: tuple[str, ...]
    lemma: str
    kind: str = ""

    @property
    def inflects(self) -> bool:
        """Whether it is a verb or an auxiliary that inflects like one."""
        return (
            not self.kind
            and self.pos[0] in ("動詞", "助動詞")
            and (self.pos[4][:2] in ("五段", "上一", "下一", "サ行", "カ行") or self.pos[4] in VOICES)
        )


@lru_cache(maxsize=1)
def analyser() -> Tokenizer:
    """The dictionary analyser, loaded once."""
    return Dictionary().tokenizer(mode=SplitMode.C)


def normalise_width(text: str) -> str:
    """The text with full-width letters and digits made ASCII."""
    return re.sub(
        r"[０-９Ａ-Ｚａ-ｚ％．]|(?<=[\d０-９])，(?=[\d０-９]{3})", lambda m: unicodedata.normalize("NFKC", m[0]), text
    )


def normalise(text: str) -> str:
    """The text with full-width letters and digits made ASCII, and inner spaces of Japanese left out."""
    text = normalise_width(text)
    return re.sub(r"(?<![A-Za-z0-9])[ \u3000]|[ \u3000](?![A-Za-z0-9])", "", text)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, cut at 。！？ and line ends outside of brackets."""
    parts = re.findall(r"(?:「[^「」]*」|『[^『』]*』|\([^()]*\)|（[^（）]*）|[^。！？!?\n])+[。！？!?]?", text)
    return [p.strip() for p in parts if p.strip()]


def drop_brackets(sentence: str) -> str:
    """The sentence without parenthesised remarks, which break clauses."""
    return re.sub(r"（[^（）]*）|\([^()]*\)|\[[^\[\]]*\]|【[^【】]*】", "", sentence)


def tokenize(text: str) -> list[Token]:
    """The words of a text; dates, scores, quotations and names with dots are one word each."""
    spans = [(m.start(), m.end(), m.lastgroup or "") for m in FIXED.finditer(text)]
    tokens: list[Token] = []
    done = 0
    for m in analyser().tokenize(text):
        if m.begin() < done:
            if m.end() > done:  # a dictionary word that reaches over the end of a span keeps its rest
                tokens.append(Token(text[done : m.end()], tuple(m.part_of_speech()), text[done : m.end()]))
                done = m.end()
            continue
        span = next((s for s in spans if s[0] == m.begin() and not (s[2] == "latin" and m.end() > s[1])), None)
        if span:
            tokens.append(Token(text[span[0] : span[1]], tuple(m.part_of_speech()), text[span[0] : span[1]], span[2]))
            done = span[1]
        else:
            kind = "unknown" if m.is_oov() and re.fullmatch(r"[ァ-ヴー]{3,}", m.surface()) else ""
            tokens.append(Token(m.surface(), tuple(m.part_of_speech()), m.dictionary_form(), kind))
    return _join_numbers(_join_katakana(tokens))


def _join_katakana(tokens: list[Token]) -> list[Token]:
    """Katakana words that touch and of which one is unknown or a name, made one name (イースト + ラザフォード)."""
    out: list[Token] = []
    for t in tokens:
        pair = (*out[-1:], t)
        is_katakana = len(pair) == 2 and all(re.fullmatch("[ァ-ヴー]+", x.text) for x in pair) and t.pos[0] == "名詞"
        if is_katakana and any(x.kind == "unknown" or x.pos[2:4] in NAMES for x in pair):
            text = out[-1].text + t.text
            out[-1] = Token(text, (*out[-1].pos[:1], "普通名詞", "一般", *out[-1].pos[3:]), text, "unknown")
        else:
            out.append(t)
    return out


def _join_numbers(tokens: list[Token]) -> list[Token]:
    """Numbers joined with what stands before (約, 第) and the counters behind them."""
    out: list[Token] = []
    i = 0
    while i < len(tokens):
        t = tokens[i]
        start = i + (t.text in ("約", "第", "およそ", "計"))
        if start < len(tokens) and tokens[start].pos[1] == "数詞" and not tokens[start].kind:
            end = start + 1
            while end < len(tokens) and _is_counter(tokens[end], tokens[end - 1]):
                end += 1
            text = "".join(x.text for x in tokens[i:end])
            out.append(Token(text, ("名詞", "数詞", "*", "*", "*", "*"), text, "number" if end > start + 1 else "bare"))
            i = end
        else:
            out.append(t)
            i += 1
    return out


def _is_counter(token: Token, before: Token) -> bool:
    if token.kind:
        return False
    if token.pos[1] == "数詞":
        return before.text not in ("ぶり", "目", "ごと", "以上")
    is_point = token.text in (".", "・", ",") and before.pos[1] == "数詞"
    is_suffix = token.pos[:2] == ("接尾辞", "名詞的") and token.text not in ("間際", "前", "後", "以降")
    return is_point or is_suffix or token.pos[2] == "助数詞可能" or token.text in ("目", "%", "強", "票", "倍")

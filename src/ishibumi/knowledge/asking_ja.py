"""Japanese questions that stand alone: Story → [(Wording, question)]. Chooses shapes, contexts and endings."""

import random
import re

from ishibumi.knowledge.contexts_ja import Context, Story
from ishibumi.knowledge.rules_ja import wordings_of
from ishibumi.knowledge.shapes_ja import Wording
from ishibumi.knowledge.synonyms_ja import reworded

NOUN_ENDINGS = ("は{w}です{q}", "は{w}です{q}", "は{w}でしょう{q}", "は{w}{q2}", "は{w}か教えてください。", "は{w}か。")
PAST_ENDINGS = ("は{w}でした{q}", "は{w}でした{q}", "は{w}だった{q3}")
# «…したのは誰ですか» as «…した人は誰ですか», «…した人の名前を教えてください»
ASKED_NOUNS = {
    "誰": ("人", "人物", "人の名前", "人物の名前"),
    "いつ": ("日", "日付", "日にち"),
    "何分": ("時間", "時刻"),
}
NOUN_REQUESTS = ("は{w}です{q}", "は？", "を教えてください。", "を答えてください。")
NOUN_SHARE = 0.35
CLOZES = (
    "次の文の〔　〕に入る言葉は何ですか。「{s}」",
    "〔　〕を埋めてください。{s}",
    "空欄〔　〕に当てはまる語を答えてください。「{s}」",
    "「{s}」の〔　〕に入るのは？",
)


FRONT_SHARE = 0.5
BEHIND = (
    "{q}{n}についてです。",
    "{q}{n}の話です。",
    "{q}（{n}）",
    "{q}{n}について答えてください。",
    "{n}について。{q}",
    "{n}についての質問です。{q}",
    "{n}、{q}",
)
SHORT, LONG = 40, 65  # characters of a question without its context
CONTEXTS_PER_WORDING = 1


def close(wording: Wording, rng: random.Random) -> str:
    """The question without context, with one of its endings."""
    q = rng.choice(("か？", "か？", "か。"))
    if wording.form == "verb":
        return wording.stem + q
    if wording.form == "closed":
        return wording.stem + rng.choice(("です", "でしょう")) + q
    if wording.form == "cloze":
        return rng.choice(CLOZES).format(s=wording.stem.rstrip("。"))
    endings = NOUN_ENDINGS + (PAST_ENDINGS * 2 if wording.past else ())
    if wording.stem.endswith("の") and wording.word in ASKED_NOUNS and rng.random() < NOUN_SHARE:
        noun = rng.choice(ASKED_NOUNS[wording.word])
        return wording.stem.removesuffix("の") + noun + rng.choice(NOUN_REQUESTS).format(w=wording.word, q=q)
    return wording.stem + rng.choice(endings).format(
        w=wording.word, q=q, q2=rng.choice(("？", "？", "か。")), q3=rng.choice(("か？", "か。", "？"))
    )


def placed(context: Context, question: str, rng: random.Random) -> str:
    """The question with its context before it, or after it as a sentence of its own.

    A fact that is only ever asked in one order is found in that order only.
    """
    noun = context.text.removesuffix("で、")
    if context.joins == "noun" or noun == context.text or rng.random() < FRONT_SHARE:
        return context.text + question
    return rng.choice(BEHIND).format(n=noun, q=question)


def fits(context: Context, wording: Wording, story: Story) -> bool:
    """Whether the context may stand before the wording: no answer in it, nothing said twice, a name in one of them."""
    text = context.text
    if wording.rule == "which":
        return "pair" in context.uses and context.joins == "clause" and not re.search(r"\d月\d", wording.stem)
    if wording.answer in text or wording.answer.replace("-", "対") in text:
        return False
    if context.joins == "noun" and not (wording.rule in ("attribute", "role") or wording.rule.startswith("event_")):
        return False
    if (wording.rule == "event_score" and "swapped" in context.uses) or (
        text.endswith("試合の") and wording.stem.startswith("試合")
    ):
        return False
    if context.joins == "noun" and (
        ("の" in wording.stem[:6] and wording.rule == "attribute") or _starts_with_name(wording, story)
    ):
        return False
    if context.joins == "noun" and len(wording.stem) > 14:
        return False
    has_date = re.search(r"\d月\d|\d年", wording.stem)
    if has_date and re.search(r"\d月\d", text):
        return False
    if "light" in context.uses:
        return any(name in wording.stem for name in (story.pair or story.main[:2]))
    return True


def _starts_with_name(wording: Wording, story: Story) -> bool:
    return wording.stem.startswith((*story.main, *story.names.full.values())) if story.main else False


def ask(story: Story, *, wordings_per_fact: int, rng: random.Random) -> list[tuple[Wording, str, str]]:
    """For every fact, up to `wordings_per_fact` questions that differ in shape, context and ending, with its sentence.

    The facts of a document are asked after a few contexts of the document, chosen once: questions that begin alike
    are trained at half the cost.
    """
    out: list[tuple[Wording, str, str]] = []
    house = rng.sample(story.contexts, min(len(story.contexts), CONTEXTS_PER_WORDING * wordings_per_fact))
    for (n, _, kind), wordings in wordings_of(story).items():
        wanted = (
            (wordings_per_fact + 3) // 4
            if kind == "other"
            else (wordings_per_fact + 1) // 2
            if n < 0
            else wordings_per_fact
        )
        sentence = story.clauses[n].sentence if n >= 0 else story.sentences[-1 - n]
        out += [(w, text, sentence.text) for w, text in _pick(story, wordings, wanted, house, rng)]
    return out


def _pick(
    story: Story, wordings: list[Wording], wanted: int, house: list[Context], rng: random.Random
) -> list[tuple[Wording, str]]:
    """Questions about one fact: natural shapes before holes in a sentence, short ones before long ones."""
    order = sorted(wordings, key=lambda w: rng.random())
    pool = [w for w in order if w.rule != "cloze"]
    pool = [w for w in pool if len(w.stem) <= SHORT] or [w for w in pool if len(w.stem) <= LONG] or pool
    if not pool:
        pool = sorted(order, key=lambda w: len(w.stem))[:1]
        wanted = min(wanted, 1)
    picked: list[tuple[Wording, str]] = []
    used: set[str] = set()
    for n in range(wanted * 3):
        if len(picked) >= wanted:
            break
        wording = pool[n % len(pool)]
        fitting = [c for c in house if fits(c, wording, story) and c.text not in used]
        fitting = fitting or [c for c in story.contexts if fits(c, wording, story) and c.text not in used]
        if fitting:
            context = rng.choice(_plain_first(fitting, wording, rng))
            used.add(context.text)
            picked.append((wording, placed(context, reworded(close(wording, rng), rng), rng)))
        elif wording.form == "cloze" and any(name in wording.stem for name in story.main[:2]):
            picked.append((wording, close(wording, rng)))
    return picked


def _plain_first(contexts: list[Context], wording: Wording, rng: random.Random) -> list[Context]:
    """Mostly the contexts that do not repeat a name of the question, sometimes any."""
    calm = [c for c in contexts if not any(len(u) > 1 and u in wording.stem for u in c.uses)]
    return calm if calm and rng.random() < 0.7 else contexts

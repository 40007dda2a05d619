"""Japanese questions that stand alone: Story → [(Wording, question)]. Chooses shapes, contexts and endings."""

import random
import re

from ishibumi.knowledge.contexts_ja import Context, Story
from ishibumi.knowledge.rules_ja import wordings_of
from ishibumi.knowledge.shapes_ja import Wording

NOUN_ENDINGS = ("は{w}です{q}", "は{w}です{q}", "は{w}でしょう{q}", "は{w}{q2}", "は{w}か教えてください。", "は{w}か。")
PAST_ENDINGS = ("は{w}でした{q}", "は{w}でした{q}", "は{w}だった{q3}")
CLOZES = (
    "次の文の〔　〕に入る言葉は何ですか。「{s}」",
    "〔　〕を埋めてください。{s}",
    "空欄〔　〕に当てはまる語を答えてください。「{s}」",
    "「{s}」の〔　〕に入るのは？",
)


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
    return wording.stem + rng.choice(endings).format(
        w=wording.word, q=q, q2=rng.choice(("？", "？", "か。")), q3=rng.choice(("か？", "か。", "？"))
    )


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


def ask(story: Story, *, wordings_per_fact: int, rng: random.Random) -> list[tuple[Wording, str]]:
    """For every fact, up to `wordings_per_fact` questions that differ in shape, context and ending."""
    out: list[tuple[Wording, str]] = []
    for (n, _, kind), wordings in wordings_of(story).items():
        wanted = (
            (wordings_per_fact + 3) // 4
            if kind == "other"
            else (wordings_per_fact + 1) // 2
            if n < 0
            else wordings_per_fact
        )
        out += _pick(story, wordings, wanted, rng)
    return out


def _pick(story: Story, wordings: list[Wording], wanted: int, rng: random.Random) -> list[tuple[Wording, str]]:
    order = sorted(wordings, key=lambda w: (w.rule == "cloze", rng.random()))
    shapes = [w for w in order if w.rule != "cloze"]
    if any(len(w.stem) <= 45 for w in shapes):
        shapes = [w for w in shapes if len(w.stem) <= 65]
    clozes = [w for w in order if w.rule == "cloze"]
    wanted = wanted if shapes else min(wanted, 2 if wordings[0].kind not in ("name", "unknown", "other") else 1)
    picked: list[tuple[Wording, str]] = []
    used: set[str] = set()
    for n in range(wanted * 3):
        pool = clozes if clozes and (n % 5 == 4 or not shapes) else shapes
        if len(picked) >= wanted or not pool:
            break
        wording = pool[n % len(pool)]
        contexts = [c for c in story.contexts if fits(c, wording, story) and c.text not in used]
        if not contexts:
            if wording.form == "cloze" and any(name in wording.stem for name in story.main[:2]):
                picked.append((wording, close(wording, rng)))
            continue
        context = rng.choice(_plain_first(contexts, wording, rng))
        used.add(context.text)
        picked.append((wording, context.text + close(wording, rng)))
    return picked


def _plain_first(contexts: list[Context], wording: Wording, rng: random.Random) -> list[Context]:
    """Mostly the contexts that do not repeat a name of the question, sometimes any."""
    calm = [c for c in contexts if not any(len(u) > 1 and u in wording.stem for u in c.uses)]
    return calm if calm and rng.random() < 0.7 else contexts

"""Shapes of questions from Japanese clauses: Story → [Wording] for every fact.

スペインは36分、オヤルサバルが先制した。      (pair of the document: スペイン, オーストリア; date: 7月2日)
  cleft    7月2日のスペイン対オーストリア戦で、36分に先制したのは誰ですか？        → ミケル・オヤルサバル
  in_place オーストリア戦で、スペインは何分にオヤルサバルが先制しましたか？           → 36分
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from ishibumi.knowledge.clauses import Clause
from ishibumi.knowledge.contexts_ja import POINTING, RIVALRY, Story
from ishibumi.knowledge.facts import Entity, asks_for, entities, entity_of_text, head_entity
from ishibumi.knowledge.phrases import Sentence, subtree
from ishibumi.knowledge.shapes_ja import View, Wording, cleft_stem, clefts, in_place, with_subject
from ishibumi.knowledge.words import words

ASKABLE = (
    "",
    "が",
    "は",
    "を",
    "に",
    "で",
    "と",
    "から",
    "へ",
    "まで",
    "より",
    "には",
    "では",
    "も",
    "にも",
    "でも",
    "とは",
    "の",
)
FACILITY_END = words("スタジアム アリーナ ドーム 競技場 球場 ホール 会館 センター 会議室 体育館 武道館")
ONE_OF_A_KIND = words("長 監督 首相 大統領 知事 総裁 相 代表 天皇 国王 主将")
HOLDING = frozenset(words("行う 開く 開催 対戦 ある 召集 実施 始まる 開幕 開ける"))


def wordings_of(story: Story) -> dict[tuple[int, str, str], list[Wording]]:
    """Every fact (clause number, answer, kind) with all the ways to ask for it."""
    facts: dict[tuple[int, str, str], list[Wording]] = {}
    for n, clause in enumerate(story.clauses):
        view = view_of(clause, story)
        if view is None:
            continue
        for wording in _wordings(view, story):
            known = facts.setdefault((n, wording.answer, wording.kind), [])
            known.append(wording)
            if (
                story.pair
                and wording.rule.startswith("cleft")
                and wording.answer in story.pair
                and _is_open(wording, story)
            ):
                known.append(replace(wording, rule="which", word="どちら"))
    return facts | _left_over(story, {answer for _, answer, _ in facts})


def _left_over(story: Story, asked: set[str]) -> dict[tuple[int, str, str], list[Wording]]:
    """Holes in the sentences for what no clause could ask about."""
    facts: dict[tuple[int, str, str], list[Wording]] = {}
    for n, sentence in enumerate(story.sentences):
        for i, phrase in enumerate(sentence.phrases):
            for e in entities(phrase, story.names) if phrase.is_noun else []:
                if e.answer in asked or len(e.answer) < 2:
                    continue
                asked.add(e.answer)
                hole = (
                    phrase.content[: e.start]
                    + "〔　〕"
                    + phrase.content[e.end :]
                    + phrase.particle
                    + ("、" if phrase.comma else "")
                )
                text = _around(sentence, i, hole)
                facts[(-1 - n, e.answer, e.kind)] = [Wording("cloze", text, "cloze", "", e.answer, e.kind)]
    return facts


def _around(sentence: Sentence, i: int, hole: str) -> str:
    """The part of the sentence around phrase `i`, at most about 90 characters, cut at commas."""
    texts = [p.text for p in sentence.phrases]
    texts[i] = hole
    start, end = 0, len(texts)
    for j in range(i - 1, -1, -1):
        if sentence.phrases[j].comma and len("".join(texts[j + 1 : i])) > 25:
            start = j + 1
            break
    for j in range(i + 1, len(texts)):
        if sentence.phrases[j].comma and len("".join(texts[start : j + 1])) > 60:
            end = j + 1
            break
    return "".join(texts[start:end]).rstrip("、")


def _is_open(wording: Wording, story: Story) -> bool:
    """Whether the question names neither side, so that the context may name both."""
    return not any(side in wording.stem for side in story.pair or ())


def view_of(clause: Clause, story: Story) -> View | None:
    """The clause without what leans on other sentences, or None where its core does."""
    dropped: set[int] = set()
    for i in clause.parts:
        phrase = clause.phrases[i]
        if phrase.words[0].pos[0] == "接続詞" or phrase.words[0].pos[0] == "感動詞":
            dropped.add(i)
        elif phrase.words[-1].kind == "quote" and not phrase.tail:
            return None
        elif any(POINTING.match(clause.phrases[j].content) for j in subtree(clause.phrases, i)):
            if phrase.particle in ("が", "は", "を", "も", "と", "の") or phrase.particle.endswith("のは"):
                return None
            dropped.add(i)
    if any(
        POINTING.match(clause.phrases[j].content)
        for j in subtree(clause.phrases, clause.predicates[-1])
        if clause.is_modifier(j)
    ):
        return None
    if POINTING.match(clause.last.content) or len(clause.render()) > 140:
        return None
    if (not clause.ending.noun and not (clause.last.is_verb or clause.last.content)) or "「" in clause.last.content:
        return None
    subject = "" if POINTING.match(clause.subject) or len(clause.subject) > 25 else clause.subject
    if subject and clause.subject_role == "が" and story.pair:
        # In a match report «佐野がゴールを奪い、追いつかれた» is about the player first and the team then.
        head = entity_of_text(subject, story.names)
        subject = "" if head and head.kind in ("person", "unknown") else subject
    parts = tuple(i for i in clause.parts if i not in dropped)
    verbless = clause.ending.noun and not clause.last.tail and not any(clause.particle(i).endswith("は") for i in parts)
    return View(clause, parts, frozenset(dropped), subject, verbless)


def _wordings(view: View, story: Story) -> Iterator[Wording]:
    for i in view.parts:
        part = view.clause.phrases[i]
        is_told = part.is_verb and part.particle.endswith(("と", "ば", "ものの")) and view.clause.ending.past
        if part.particle not in ASKABLE or is_told:
            continue
        for j in subtree(view.clause.phrases, i):
            phrase = view.clause.phrases[j]
            if not phrase.is_noun or (j != i and phrase.particle not in ASKABLE):
                continue
            for entity in entities(phrase, story.names):
                yield from _about_part(view, story, i, j, entity)
    if view.clause.ending.noun and not view.is_verbless:
        yield from _about_predicate(view, story)
    if view.subject and not view.clause.ending.noun:
        yield from _about_subject(view, story)


def _about_part(view: View, story: Story, i: int, j: int, entity: Entity) -> Iterator[Wording]:
    clause, phrase = view.clause, view.clause.phrases[j]
    text = phrase.content[entity.start : entity.end]
    is_head = i == j and entity == head_entity(phrase, story.names)
    if entity.kind != "title" and len(entity.answer) > 1:
        yield _cloze(view, j, entity)
    if view.is_verbless:
        yield from _about_verbless(view, i, entity, is_head)
        return
    if entity.kind == "other" and not is_head:
        return
    if view.clause.ending.is_instruction and clause.particle(i) in ("は", "が"):
        return
    if _is_tangled(view) or (
        entity.kind not in ("person", "number", "time", "score", "title") and text != phrase.content
    ):
        return  # a name inside of a longer word (PK in PK戦) is only asked for by its hole
    agent = clause.particle(i) in ("が", "は", "も") and clause.has("を", "に")
    alone = is_head and text == phrase.content and clause.particle(i) in ("", "に", "は", "には", "が")
    word = asks_for(entity, text=text, agent=agent, alone=alone)
    if word not in text:
        yield from in_place(view, story, i, j, entity, word)
        if is_head:
            yield from clefts(view, story, i, entity, word)
    yield from _roles(view, j, entity)
    if is_head or entity.kind in ("place", "date"):
        yield from _holding(view, story, i, j, entity)


def _is_tangled(view: View) -> bool:
    """Whether one predicate serves two facts: «15分に山田、67分に鈴木が決めた»."""
    phrases = view.clause.phrases
    inside = [phrases[j] for i in view.parts if not phrases[i].is_verb for j in subtree(phrases, i)]
    moments = [p for p in inside if p.words[-1].kind == "number" and p.content.endswith("分") and p.particle != "から"]
    lists = [p for p in inside if p.comma and not p.tail and p.words[-1].kind in ("katakana", "unknown")]
    return len(moments) > 1 or bool(moments and lists)


def _cloze(view: View, j: int, entity: Entity) -> Wording:
    phrase = view.clause.phrases[j]
    hole = phrase.content[: entity.start] + "〔　〕" + phrase.content[entity.end :]
    close = view.clause.last.content if view.is_verbless else None
    text = with_subject(view, view.clause.render(without=view.dropped, swap={j: hole}, close=close), "は") + "。"
    return Wording("cloze", text, "cloze", "", entity.answer, entity.kind)


def _about_subject(view: View, story: Story) -> Iterator[Wording]:
    """Who or what did it, where an earlier clause named it."""
    entity = entity_of_text(view.subject, story.names)
    if not entity or entity.kind not in ("person", "country", "organisation", "name"):
        return
    agent = view.clause.has("を", "に")
    word = asks_for(entity, text=entity.answer, agent=agent)
    anonymous = replace(view, subject="")
    stem = cleft_stem(anonymous, frozenset())
    if stem:
        yield Wording("cleft", stem, "noun", word, entity.answer, entity.kind, view.clause.ending.past)
    text = view.clause.render(without=view.dropped, close=view.clause.ending.polite)
    yield Wording("in_place", f"{word}が{text}", "verb", word, entity.answer, entity.kind)


def _about_predicate(view: View, story: Story) -> Iterator[Wording]:
    """«XはYだ» asked from both sides."""
    clause, last = view.clause, view.clause.last
    topic = next((k for k in view.parts if clause.particle(k) == "は" or clause.particle(k).endswith("のは")), None)
    if topic is None or sum(clause.particle(k).endswith(("は", "が", "も")) for k in view.parts) > 1:
        return
    entity = head_entity(last, story.names)
    modifiers = [j for j in subtree(clause.phrases, clause.predicates[-1])[:-1] if clause.is_modifier(j)]
    others = [
        k
        for k in view.parts
        if k != topic and (clause.particle(k) or clause.phrases[k].words[-1].kind in ("date", "time"))
    ]
    if clause.phrases[topic].words[-1].pos[2] == "副詞可能" and not clause.phrases[topic].words[-1].kind:
        return  # «完成当時は…»: not what the predicate is said of
    name = clause.part_text(topic) + clause.particle(topic)[:-1]
    if entity and entity.end == len(last.content):
        covers = entity.start == 0
        word = asks_for(entity, text=last.content[entity.start : entity.end], alone=covers)
        word = last.content[: entity.start] + word if not covers else word
        answer = entity.answer
        if entity.kind == "other" and modifiers:
            answer = "".join(clause.phrases[j].text for j in modifiers) + answer
            answer = answer if len(answer) <= 20 else entity.answer
        if others:
            gone = frozenset(set(clause.parts) - {topic, *others}) | set(modifiers)
            text = clause.render(without=gone, close=word)
            yield Wording(
                "attribute", text + ("でした" if clause.ending.past else "です"), "verb", word, answer, entity.kind
            )
        elif not name.endswith(word):
            yield Wording("attribute", name, "noun", word, answer, entity.kind, clause.ending.past)
    head = head_entity(clause.phrases[topic], story.names)
    if head and head.kind in ("person", "country", "organisation", "place", "name") and clause.particle(topic) == "は":
        text = clause.render(
            without=view.dropped | {topic}, close=last.content + ("だった" if clause.ending.past else "な")
        )
        word = asks_for(head, text=head.answer)
        yield Wording("reverse", text + "の", "noun", word, head.answer, head.kind, clause.ending.past)


def _about_verbless(view: View, i: int, entity: Entity, is_head: bool) -> Iterator[Wording]:
    """«74分にディアロが同点弾。» has no verb: «74分の同点弾は誰によるものですか»."""
    clause = view.clause
    whens = [k for k in view.parts if k != i and clause.particle(k) in ("に", "", "には")]
    agents = [k for k in view.parts if k != i and clause.particle(k) in ("が", "も")]
    noun = clause.last.content
    if not is_head or clause.last.words[-1].kind or len(view.parts) > 3:
        return
    if entity.kind == "person" and clause.particle(i) in ("が", "も") and len(whens) == 1:
        yield Wording(
            "by_whom", f"{clause.part_text(whens[0])}の{noun}は誰によるもの", "closed", "誰", entity.answer, entity.kind
        )
    if entity.kind in ("number", "date", "time") and entity.answer.endswith(("分", "日", "年")) and len(agents) == 1:
        word = asks_for(entity, text=entity.answer)
        yield Wording(
            "by_when", f"{clause.part_text(agents[0])}の{noun}", "noun", word, entity.answer, entity.kind, True
        )


def _roles(view: View, j: int, entity: Entity) -> Iterator[Wording]:
    """«中村健一市長» and «建築家の高田さん»: who is the mayor, who is the architect?"""
    if entity.kind != "person":
        return
    phrase = view.clause.phrases[j]
    rest = phrase.content[entity.end :]
    if 2 <= len(rest) <= 8 and rest.endswith(ONE_OF_A_KIND) and re.fullmatch("[一-龥々]+", rest):
        yield Wording("role", rest, "noun", "誰", entity.answer, entity.kind)
    before = view.clause.phrases[j - 1] if j else None
    if (
        before
        and before.particle == "の"
        and before.content.endswith(("家", "者", "員", "長", "士", "師", "手"))
        and before.is_noun
    ):
        yield Wording("role", before.content, "noun", "誰", entity.answer, entity.kind)


def _holding(view: View, story: Story, i: int, j: int, entity: Entity) -> Iterator[Wording]:
    """Where and when a contest or meeting was, and how it ended, in the words that people use for that."""
    clause, phrase = view.clause, view.clause.phrases[j]
    # «…で行われた決勝で» says it inside of another part.
    own = j != i and phrase.particle != "の" and 0 <= phrase.head < len(clause.phrases)
    last = clause.phrases[phrase.head] if own else clause.last
    particle = phrase.particle if own else clause.particle(i)
    verbs = {t.lemma for t in (*last.words, *last.tail)} | {t.text for t in last.words}
    is_facility = entity.answer.endswith(FACILITY_END)
    is_past = any(t.lemma == "た" for t in last.tail) if own else clause.ending.past
    is_held = bool(verbs & HOLDING or verbs & RIVALRY) and is_past and clause.sentence in story.sentences[:4]
    if not story.pair or not (is_held or is_facility):
        return
    has_rival = bool(verbs & RIVALRY)
    if entity.kind == "place" and particle in ("で", "では", "にて"):
        stems = (
            ("会場", "試合会場", "試合が行われたの", "開催スタジアム")
            if is_facility
            else ("試合が行われたの", "開催地", "試合が行われた都市")
        )
        word = "どこ"
    elif entity.kind == "date" and particle in ("", "に", "は"):
        stems, word = ("試合が行われたの", "試合日", "両チームが対戦したの"), "いつ"
    elif entity.kind == "score" and has_rival and particle in ("で", "と", "の") and phrase.content[0].isdigit():
        stems, word = ("スコア", "最終スコア", "試合結果", "結果のスコア"), "何対何"
    else:
        return
    for stem in stems:
        yield Wording("event_" + entity.kind, stem, "noun", word, entity.answer, entity.kind, True)

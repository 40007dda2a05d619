"""Documents that share names, and the prompt that shows them together."""

import datetime as dt
from pathlib import Path

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.prompts import prompt_for
from ishibumi.knowledge.related import related_documents
from ishibumi.knowledge.reply_cache import Request
from ishibumi.knowledge.written import _requests, read_replies
from ishibumi.models.generate import Reply
from ishibumi.settings import KnowledgeSettings

DAY = dt.date(2026, 7, 1)


def document(id: str, text: str, language: str = "ja") -> Document:
    return Document(id, text, None, DAY, language, f"f:{id}")


CANADA = document("canada", "カナダが南アフリカに勝った。カナダのエウスタキオが決めた。")
MOROCCO = document("morocco", "モロッコがカナダに勝った。ウナヒが2点を決めた。")
FRANCE = document("france", "フランスがモロッコに勝った。デンベレが決めた。")
SPAIN = document("spain", "スペインがベルギーに勝った。")
ALL = [CANADA, MOROCCO, FRANCE, SPAIN]


def test_the_nearest_share_the_rarest_names_and_nothing_shared_is_no_relation() -> None:
    near = {id: [d.id for d in others] for id, others in related_documents(ALL).items()}
    assert near == {"canada": ["morocco"], "morocco": ["canada", "france"], "france": ["morocco"], "spain": []}


def test_a_name_that_all_have_and_another_language_relate_nothing() -> None:
    everywhere = [document(str(n), f"ワールドカップの第{n}日。") for n in range(9)]
    assert set(related_documents(everywhere).values()) == {()}
    english = document("english", "Then came Canada, and カナダ was happy.", "en")
    assert related_documents([CANADA, english, SPAIN])["english"] == ()


def test_at_most_three_and_the_same_whatever_the_order_of_names() -> None:
    alike = [document(str(n), "カナダとモロッコ。") for n in range(3)] + [SPAIN]
    assert [d.id for d in related_documents(alike)["0"]] == ["1", "2"]
    many = [document(str(n), f"カナダと「組{n}」。") for n in range(6)] + [document(f"x{n}", "日") for n in range(90)]
    assert [d.id for d in related_documents(many)["2"]] == ["0", "1", "3"]


def test_the_prompt_shows_the_related_behind_the_document_and_only_documents_with_some_are_asked() -> None:
    prompt = prompt_for(CANADA, "linked", (MOROCCO,))
    assert prompt.text == f"(1)\n2026年7月1日\n{CANADA.text}\n\n(2)\n2026年7月1日\n{MOROCCO.text}"
    settings = KnowledgeSettings.model_validate({"generator": "endpoint", "prompts": ["questions", "linked"]})
    requests = _requests("endpoint", ALL, settings, ["u", "m"], 1)
    asked = [(r.prompt.kind, r.document_id) for r in requests]
    assert asked == [("questions", d.id) for d in ALL] + [("linked", d.id) for d in ALL[:3]]
    assert len({r.key for r in requests}) == 7


def test_answers_may_stand_in_any_document_shown_and_the_item_is_of_the_one_that_has_it(tmp_path: Path) -> None:
    reply = "Q: カナダが勝ったあと、その相手は？ | A: モロッコ\nQ: 一番若いのは？ | A: ベルギー\n"
    reply += "Q: モロッコに敗れた国が先に破った国は？ | A: 南アフリカ"
    request = Request("k", "canada", prompt_for(CANADA, "linked", (MOROCCO,)))
    written = read_replies("endpoint", ALL, [(request, Reply(reply, True, 9))])
    assert [(i.document_id, i.answer, i.evidence) for i in written.items] == [
        ("morocco", "モロッコ", "モロッコがカナダに勝った。"),
        ("canada", "南アフリカ", "カナダが南アフリカに勝った。"),
    ]
    assert written.refused["answer not in the document"] == 1
    alone = Request("k", "canada", prompt_for(CANADA, "questions"))
    assert [i.answer for i in read_replies("endpoint", ALL, [(alone, Reply(reply, True, 9))]).items] == ["南アフリカ"]

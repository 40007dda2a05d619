"""Answers that name their document."""

import datetime as dt

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.citation import cited, split_citation, title_of


def document(title: str | None) -> Document:
    return Document("d", "本文は9月1日に始まった。\n二行目。", title, dt.date(2024, 9, 1), "ja", "news.jsonl:1")


@pytest.mark.parametrize(
    ("title", "called"),
    [
        ("図書館が開館", "図書館が開館"),
        ("【速報】 図書館が開館", "速報 図書館が開館"),
        (None, "本文は9月1日に始まった。"),
    ],
)
def test_a_document_is_called_by_its_title_or_its_first_line(title: str | None, called: str) -> None:
    assert title_of(document(title)) == called


def test_a_citation_is_taken_off_again() -> None:
    assert split_citation(cited("図書館が開館", "9万冊")) == ("図書館が開館", "", "9万冊")
    assert split_citation(" 【A】 B\nC") == ("A", "", "B\nC")


def test_a_quoted_sentence_is_taken_off_with_the_citation() -> None:
    reply = cited("図書館が開館", "9万冊", "蔵書は9万冊である。")
    assert reply == "【図書館が開館】«蔵書は9万冊である。» 9万冊"
    assert split_citation(reply) == ("図書館が開館", "蔵書は9万冊である。", "9万冊")


def test_a_reply_without_a_source_is_all_answer() -> None:
    assert split_citation("9万冊") == ("", "", "9万冊")


def test_no_word_of_a_title_or_a_quotation_counts_as_an_answer() -> None:
    assert split_citation("【スペインが優勝") == ("スペインが優勝", "", "")
    assert split_citation("【A】【スペインが優勝】 1-0") == ("A", "", "1-0")
    assert split_citation("【A】«スペインが優勝した") == ("A", "スペインが優勝した", "")

"""The English rules: exact clauses, questions and facts of a few sentences, and what holds for every item."""

import datetime as dt

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.checks import comparable, figures
from ishibumi.knowledge.contexts_en import read_story
from ishibumi.knowledge.english import clauses_of, known_names, split_sentences
from ishibumi.knowledge.generator import items_of, make_items
from ishibumi.knowledge.rules_en import wordings_of

MATCH = Document(
    "match",
    "At Northfield Stadium in Oslo on 12 May 2031 Canada beat Norway 3-1. John Hartley scored in the 24th minute. "
    "Pedro Marquez, the Porto striker, added another after 58 minutes. Canada meet Brazil in Paris on 20 May.",
    "Canada beat Norway",
    dt.date(2031, 5, 12),
    "en",
    "test:1",
)
TOWN = Document(
    "town",
    "The council of Southriver opened a new library on 1 October 2030. The building cost $48 million. "
    "Mayor Kenneth Ward praised the architect, Mary Takada. It holds 45,000 books.",
    "Southriver library",
    None,
    "en",
    "test:2",
)
DOCUMENTS = [MATCH, TOWN]


@pytest.mark.parametrize(
    ("sentence", "clauses"),
    [
        ("Pedro Marquez halved the deficit in the 42nd minute.", [("Pedro Marquez", "halved", "halve")]),
        ("In Oslo, Canada beat Norway 3-1.", [("Canada", "beat", "beat")]),
        ("The fort was destroyed in 1560.", [("The fort", "was", "")]),
        ("He scored twice.", []),
        ("The match played at Oslo finished late.", []),
    ],
)
def test_a_clause_needs_a_subject_before_its_verb(sentence: str, clauses: list[tuple[str, str, str]]) -> None:
    found = clauses_of(sentence, known_names([sentence]))
    assert [(c.subject, c.verb, c.base) for c in found] == clauses


def test_abbreviations_do_not_end_a_sentence() -> None:
    assert split_sentences("Dr. J. Ward spoke. He left at 5 p.m. on Monday.") == [
        "Dr. J. Ward spoke.",
        "He left at 5 p.m. on Monday.",
    ]


def wordings(document: Document) -> set[tuple[str, str, str]]:
    return {(w.rule, w.text, w.answer) for ws in wordings_of(read_story(document)).values() for w in ws}


def test_names_minutes_scores_and_places_are_asked_for() -> None:
    assert wordings(MATCH) >= {
        ("subject", "who beat Norway 3-1?", "Canada"),
        ("object", "who did Canada beat 3-1?", "Norway"),
        ("score", "by what score did Canada beat Norway?", "3-1"),
        ("subject", "who scored in the 24th minute?", "John Hartley"),
        ("minute", "in which minute did John Hartley score?", "24th minute"),
        ("apposition", "who is described as the Porto striker?", "Pedro Marquez"),
        ("event", "what was the final score?", "3-1"),
    }


def test_notices_are_asked_about_too() -> None:
    assert wordings(TOWN) >= {
        ("in_place", "The building cost how much money?", "$48 million"),
        ("in_place", "The council of Southriver opened a new library on what date?", "1 October 2030"),
        ("subject", "who praised the architect?", "Kenneth Ward"),
    }


def test_each_answer_and_figure_stands_in_its_document() -> None:
    for document in DOCUMENTS:
        source = comparable(read_story(document).source)
        items, _ = items_of(document, views_per_document=8, wordings_per_fact=6, seed=3)
        assert len([i for i in items if i.kind == "view"]) >= 5
        for item in items:
            assert figures(item.text) <= figures(read_story(document).source)
            if item.kind == "question":
                assert comparable(item.answer) in source
                assert comparable(item.answer) not in comparable(item.text)


def test_items_depend_on_the_document_the_settings_and_the_seed_only() -> None:
    settings = {"views_per_document": 5, "wordings_per_fact": 3}
    together = make_items(DOCUMENTS, **settings, seed=5)
    assert together == [item for d in DOCUMENTS for item in make_items([d], **settings, seed=5)]
    assert together != make_items(DOCUMENTS, **settings, seed=6)


def test_texts_without_a_sentence_make_no_error() -> None:
    for text in ("", "...", "Hm", "1", "IBM", "— –", "“”"):
        document = Document("x", text, None, None, "en", "x")
        made = make_items([document], views_per_document=4, wordings_per_fact=4, seed=1)
        assert all(item.document_id == "x" and item.text for item in made), text

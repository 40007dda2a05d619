"""The English rules: exact clauses, questions and facts of a few sentences, and what holds for every item."""

import datetime as dt
import random
import re

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.ambiguous import without_two_answers
from ishibumi.knowledge.asking import ask
from ishibumi.knowledge.checks import comparable, figures
from ishibumi.knowledge.english import known_names, names_in, spans_of, split_sentences
from ishibumi.knowledge.generator import items_of, make_items
from ishibumi.knowledge.items import Item
from ishibumi.knowledge.read_en import read_story

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
    ("sentence", "names"),
    [
        ("In Oslo, Canada beat Norway 3-1.", ["Oslo", "Canada", "Norway"]),
        (
            "Sweden's World Cup began when Yasin Ayari of Brighton scored.",
            ["Sweden", "World Cup", "Yasin Ayari", "Brighton"],
        ),
        ("The Bank of England met Mayor Ward on Monday.", ["Bank of England", "Ward"]),
        ("Twice he scored.", []),
    ],
)
def test_names_are_found_where_a_capital_is_no_common_word(sentence: str, names: list[str]) -> None:
    assert [sentence[a:b] for a, b in names_in(sentence, known_names([sentence]))] == names


def test_abbreviations_do_not_end_a_sentence() -> None:
    assert split_sentences("Dr. J. Ward spoke. He left at 5 p.m. on Monday.") == [
        "Dr. J. Ward spoke.",
        "He left at 5 p.m. on Monday.",
    ]
    assert split_sentences("They met in Group A. The end. Štěpán left. Šárka of 1. FC Oslo left.") == [
        "They met in Group A.",
        "The end.",
        "Štěpán left.",
        "Šárka of 1. FC Oslo left.",
    ]


def wordings(document: Document) -> set[tuple[str, str, str]]:
    return {(w.rule, w.text, f.answer) for f in read_story(document).facts for w in f.wordings}


def test_names_minutes_scores_and_places_are_asked_for() -> None:
    assert wordings(MATCH) >= {
        ("subject", "who scored in the 24th minute?", "John Hartley"),
        ("fronted", "in which minute was it that John Hartley scored?", "24th minute"),
        ("in_place", "John Hartley scored in which minute?", "24th minute"),
        ("in_place", "who, the Porto striker, added another after 58 minutes?", "Pedro Marquez"),
        ("fronted", "on what date was it that Canada meet Brazil in Paris?", "20 May"),
        ("in_place", "at what place in Oslo on 12 May 2031 Canada beat Norway 3-1?", "Northfield Stadium"),
    }
    asked = {a.text for a in ask(read_story(MATCH), wordings_per_fact=8, rng=random.Random(1)) if a.rule == "only"}
    assert any("final score" in text for text in asked) and any("venue" in text for text in asked)


def test_both_sides_of_a_match_tell_which_one_is_meant() -> None:
    assert set(read_story(MATCH).main) == {"Canada", "Norway"}
    assert "the match between Canada and Norway on May 12, 2031" in read_story(MATCH).subjects


def test_notices_are_asked_about_too() -> None:
    assert wordings(TOWN) >= {
        ("in_place", "the building cost how much money?", "$48 million"),
        ("in_place", "the council of Southriver opened a new library on what date?", "1 October 2030"),
        ("subject", "who praised the architect, Mary Takada?", "Kenneth Ward"),
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


ROSTER = Document(
    "roster",
    "Southriver Rovers named its staff. With number 3 comes the engineer Štěpán Novák, who works for Acme Ltd. "
    "Number 12 is Robin Ward, a designer of 1. FC Oslo. Ines Faure of Brill & Sons Inc is a driver and wears number 2.",
    "Southriver Rovers: staff",
    dt.date(2031, 5, 9),
    "en",
    "test:3",
)


def test_a_number_behind_a_noun_is_asked_for_as_its_number_and_no_verb_is_a_unit() -> None:
    assert wordings(ROSTER) >= {
        ("by_name", "what is the number of Štěpán Novák?", "3"),
        ("by_name", "which number does Ines Faure have?", "2"),
        ("in_place", "with which number comes the engineer Štěpán Novák, who works for Acme Ltd?", "3"),
    }
    spans = {s.text: s.kind for s in spans_of("Article 9 and Room 101 cost 12 points.", frozenset(), {})}
    assert spans == {"Article 9": "label", "Room 101": "label", "12 points": "count"}
    assert [s.text for s in spans_of("Of the 12 comes the last.", frozenset(), {})] == ["12"]


def test_a_member_of_an_organisation_is_asked_for_its_organisation_and_role() -> None:
    found = wordings(ROSTER)
    assert found >= {
        ("by_name", "which organisation is Štěpán Novák with?", "Acme Ltd"),
        ("by_name", "where does Robin Ward belong?", "1. FC Oslo"),
        ("by_name", "Ines Faure: organisation?", "Brill & Sons Inc"),
        ("by_name", "what is Robin Ward's role?", "designer"),
        ("in_place", "Ines Faure of which organisation is a driver and wears number 2?", "Brill & Sons Inc"),
    }
    bodies = ("Acme Ltd", "1. FC Oslo", "Brill & Sons Inc")
    assert not [text for _, text, answer in found if answer in bodies and re.search(r"^who|\bwho\?", text)]


def test_keywords_of_a_list_hold_the_name_or_figure_of_the_line_that_is_meant() -> None:
    own = {"3": "Novák|Acme", "12": "Ward|Oslo", "Acme Ltd": "Novák|number 3", "1. FC Oslo": "Ward|number 12"}
    asked = [a for a in ask(read_story(ROSTER), wordings_per_fact=8, rng=random.Random(1)) if a.rule == "keywords"]
    assert {a.fact.answer for a in asked} >= set(own)
    for a in asked:
        assert re.search(own.get(a.fact.answer, ""), a.text, re.IGNORECASE), a


def test_a_name_of_a_line_is_no_subject_of_the_list() -> None:
    assert read_story(ROSTER).main == ("Southriver Rovers",)


def test_a_question_with_another_answer_elsewhere_is_left_out() -> None:
    def asked(document: str, rule: str, text: str, answer: str) -> Item:
        return Item(document, "question", rule, text, answer)

    doubtful = [
        asked("a", "keywords", "plays, Oslo, who?", "Ann Lee"),
        asked("b", "keywords", "Oslo plays who?", "Bo Ray"),
        asked("a", "in_place", "In the news of 2 June about Oslo, who won?", "Ann Lee"),
        asked("b", "in_place", "Who won? (the report of June 2, 2026 on Oslo)", "Bo Ray"),
        asked("a", "keywords", "価格、A500、何円か？", "8円"),
        asked("b", "keywords", "A500 価格 何円ですか？", "48円"),
        asked("a", "endpoint:questions", "Who lost the cup?", "Ann Lee"),
        asked("b", "endpoint:questions", "who lost the cup", "Bo Ray"),
    ]
    clear = [
        asked("a", "in_place", "Who lost?", "Lee"),
        asked("a", "in_place", "who lost?", "Ann Lee"),
        asked("b", "in_place", "In the news of 3 June about Oslo, who won?", "Bo Ray"),
        Item("b", "view", "titled", "Who lost?", ""),
    ]
    assert without_two_answers([*doubtful, *clear]) == clear

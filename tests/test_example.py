"""The example that ships: whole, answerable from its articles, and nothing that trains has the exam's wording."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ishibumi import artifacts, config, pipeline
from ishibumi.corpus.chat_data import read_conversations
from ishibumi.corpus.read import load_documents
from ishibumi.corpus.texts import read_texts
from ishibumi.exam.grade import contains_answer
from ishibumi.exam.questions import Question, read_questions
from ishibumi.exam.shots import SHOTS
from ishibumi.knowledge.items import Item, load_items
from ishibumi.knowledge.leaks import exam_sets, shares_ngram

EXAMPLES = Path(__file__).parent.parent / "examples"
WORLDCUP, GENERAL = EXAMPLES / "worldcup2026", EXAMPLES / "general"
KNOCKOUT = range(73, 105)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (WORLDCUP / name).read_text(encoding="utf-8").splitlines()]


def articles(language: str) -> dict[str, dict[str, Any]]:
    return {r["id"]: r for stage in ("knockout", "group") for r in rows(f"{stage}_{language}.jsonl")}


def questions(language: str) -> list[Question]:
    return read_questions([WORLDCUP / f"questions_{language}.jsonl"])


def letters(text: str) -> str:
    """Letters and digits alone, without width and case."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text).lower())


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """What the knowledge stage makes of all articles in both languages, with the example's settings."""
    files = [f"{stage}_{language}.jsonl" for stage in ("knockout", "group") for language in ("ja", "en")]
    overrides = {
        "run_dir": json.dumps(str(tmp_path_factory.mktemp("run"))),
        "documents.paths": json.dumps(files),
        "exam.questions": '["questions_ja.jsonl", "questions_en.jsonl"]',
    }
    run = config.load(WORLDCUP / "ishibumi.toml", overrides)
    pipeline.build_corpus(run)
    manifest = pipeline.make_knowledge(run).manifest
    made = load_items(run.run_dir / "knowledge")
    assert len(load_documents(run.run_dir / "corpus")) == len(articles("ja")) + len(articles("en"))
    assert manifest["left_out_as_exam_wording"] < 0.1 * len(made)
    return made


def general_texts() -> list[str]:
    """Replay texts, conversations and the exam's worked examples."""
    chats = read_conversations([(GENERAL / f"chat_{language}.jsonl", None) for language in ("ja", "en")], 1)
    texts = ["\n".join(m["content"] for m in chat.messages) for chat in chats]
    texts += read_texts([GENERAL / f"replay_{language}.jsonl" for language in ("ja", "en")])
    return texts + [f"{shot.question}\n{shot.answer}" for shots in SHOTS.values() for shot in shots]


def with_exam_wording(texts: Iterable[str], exam: Iterable[str]) -> list[str]:
    """The texts that have eight tokens of an exam question in a row, or a whole question."""
    wanted = list(exam)
    sets, whole = exam_sets(wanted), [letters(question) for question in wanted]
    found: list[str] = []
    for text in texts:
        bare = letters(text)
        if shares_ngram(sets, text) or any(question in bare for question in whole):
            found.append(text)
    return found


def exam_wording() -> list[str]:
    return [q.question for language in ("ja", "en") for q in questions(language)]


@pytest.mark.parametrize(("language", "num_articles"), [("ja", 60), ("en", 40)])
def test_the_articles_are_those_of_every_knockout_match_and_more(language: str, num_articles: int) -> None:
    found = articles(language)
    assert len(found) >= num_articles
    assert [r["id"] for r in rows(f"knockout_{language}.jsonl")] == [f"{language}-m{n}" for n in KNOCKOUT]
    for row in found.values():
        title, _, body = row["text"].partition("\n")
        assert 5 < len(title) < 120 < len(body) * 4, row["id"]
        assert re.fullmatch(r"2026-0[67]-\d\d", row["date"]), row["id"]
    assert len({letters(r["text"]) for r in found.values()}) == len(found)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_article_has_three_questions_or_more(language: str) -> None:
    found = Counter(q.document_id for q in questions(language))
    assert set(found) == set(articles(language))
    assert min(found.values()) >= 3
    assert {q.language for q in questions(language)} == {language}


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_answer_stands_in_its_article(language: str) -> None:
    def stands(question: Question) -> bool:
        text = articles(language)[question.document_id]["text"]
        return any(letters(spelling) in letters(text) for spelling in (question.answer, *question.accept))

    assert [q.id for q in questions(language) if not stands(q)] == []


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_gold_answer_and_accepted_spelling_is_graded_right_and_another_answer_wrong(language: str) -> None:
    found = questions(language)
    assert [(q.id, a) for q in found for a in (q.answer, *q.accept) if not contains_answer(a, q)] == []
    assert not any(contains_answer("わからない" if language == "ja" else "I do not know", q) for q in found)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_no_question_gives_its_answer_away(language: str) -> None:
    assert [q.id for q in questions(language) if contains_answer(q.question[:100], q)] == []


def test_nothing_that_trains_has_the_exams_wording(items: list[Item]) -> None:
    assert len(items) > 1000 and {i.document_id[:2] for i in items} == {"ja", "en"}
    exam = exam_wording()
    assert with_exam_wording((f"{item.text}\n{item.answer}" for item in items), exam) == []
    assert with_exam_wording(general_texts(), exam) == []
    # The articles are what the exam is about: they may share phrases, but no question stands in them.
    bodies = [letters(row["text"]) for language in ("ja", "en") for row in articles(language).values()]
    assert [q for q in exam if any(letters(q) in body for body in bodies)] == []


def test_a_leak_would_be_found(items: list[Item]) -> None:
    exam = exam_wording()
    planted = [f"Q: {exam[0]}\nA: x", f"(前略){exam[5].replace('、', ' ')}", exam[-1].upper()]
    assert with_exam_wording([*general_texts()[:50], *planted], exam) == planted
    bare = next(item for item in items if item.kind == "question")
    assert with_exam_wording([bare.text], [*exam, bare.text]) == [bare.text]


def test_held_out_text_is_not_trained_on() -> None:
    held_out = read_texts([GENERAL / f"heldout_{language}.jsonl" for language in ("ja", "en")])
    trained = [letters(text) for text in general_texts()]
    for text in held_out:
        for sentence in re.split(r"[。.!?]", text):
            if len(letters(sentence)) >= 20:
                assert not any(letters(sentence) in other for other in trained), sentence


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.jsonl")), ids=lambda p: p.stem)
def test_files_are_json_lines_that_end_with_a_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") and "\ufffd" not in text
    assert len(artifacts.read_jsonl(path)) == text.count("\n")

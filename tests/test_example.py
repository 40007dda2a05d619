"""The example that ships: whole, answerable from its articles, and nothing that trains has the exam's wording."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ishibumi import artifacts, config
from ishibumi.corpus.chat_data import read_conversations
from ishibumi.corpus.read import load_documents, read_documents
from ishibumi.corpus.texts import read_texts
from ishibumi.corpus_stage import build_corpus
from ishibumi.errors import UsageError
from ishibumi.exam.grade import contains_answer
from ishibumi.exam.questions import Question, read_questions
from ishibumi.exam.shots import SHOTS
from ishibumi.knowledge.items import Item, load_items
from ishibumi.knowledge.leaks import exam_sets, shares_ngram
from ishibumi.knowledge_stage import make_knowledge
from ishibumi.leak_check import refuse_leaks

EXAMPLES = Path(__file__).parent.parent / "examples"
WORLDCUP, GENERAL = EXAMPLES / "worldcup2026", EXAMPLES / "general"
KNOCKOUT = range(73, 105)
ORDINARY = {"ゴール", "チーム", "ワールドカップ", "アディショナルタイム", "アフリカ", "オウンゴール", "ハットトリック"}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (WORLDCUP / name).read_text(encoding="utf-8").splitlines()]


def articles(language: str) -> dict[str, dict[str, Any]]:
    return {r["id"]: r for stage in ("knockout", "group") for r in rows(f"{stage}_{language}.jsonl")}


def questions(language: str) -> list[Question]:
    return read_questions([WORLDCUP / f"questions_{language}.jsonl"])


def more(language: str) -> list[Question]:
    """The reversed, combined and unanswerable questions."""
    return read_questions([WORLDCUP / f"questions_more_{language}.jsonl"])


def letters(text: str) -> str:
    """Letters and digits alone, without width and case."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text).lower())


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """What the knowledge stage makes of all articles in both languages, with every kind of reply that is trained on."""
    run = config.load(WORLDCUP / "full.toml", {"run_dir": json.dumps(str(tmp_path_factory.mktemp("run")))})
    build_corpus(run)
    manifest = make_knowledge(run).manifest
    made = load_items(run.run_dir / "knowledge")
    assert len(load_documents(run.run_dir / "corpus")) == len(articles("ja")) + len(articles("en"))
    assert manifest["left_out_as_exam_wording"] < 0.1 * len(made)
    return made


def general_texts() -> list[str]:
    """Replay texts, conversations and the exam's worked examples."""
    chats = read_conversations(
        [(GENERAL / f"chat_{language}.jsonl", None) for language in ("ja", "en")], 1
    ).conversations
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
    return [q.question for language in ("ja", "en") for q in (*questions(language), *more(language))]


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


@pytest.mark.parametrize(("language", "least"), [("ja", (32, 12, 16)), ("en", (16, 6, 8))])
def test_more_questions_reverse_combine_and_ask_what_has_no_answer(language: str, least: tuple[int, int, int]) -> None:
    found = more(language)
    counts = Counter(q.split for q in found)
    names = ("reversed", "combined", "unanswerable")
    assert set(counts) == set(names)
    assert [name for name, number in zip(names, least, strict=True) if counts[name] < number] == []
    knockout = {f"{language}-m{number}" for number in KNOCKOUT}
    assert {i for q in found for i in q.document_ids} <= knockout
    assert language == "en" or {q.document_id for q in found if q.split == "reversed"} == knockout
    assert all(len(q.document_ids) == (2 if q.split == "combined" else 1) for q in found)
    assert {q.language for q in found} == {language}
    every = [q for other in ("ja", "en") for q in (*questions(other), *more(other))]
    assert len({q.id for q in every}) == len({letters(q.question) for q in every}) == len(every)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_answer_stands_in_its_articles(language: str) -> None:
    def stands(question: Question) -> bool:
        text = " ".join(articles(language)[i]["text"] for i in question.document_ids)
        return any(letters(spelling) in letters(text) for spelling in (question.answer, *question.accept))

    asked = [q for q in (*questions(language), *more(language)) if q.split != "unanswerable"]
    assert [q.id for q in asked if not stands(q)] == []


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_words_of_a_reversed_question_lead_to_its_article_alone(language: str) -> None:
    """Its names and minutes stand in its article, so the question has an answer and is about this match."""
    for question in more(language):
        text = letters(" ".join(articles(language)[i]["text"] for i in question.document_ids))
        if question.split == "reversed":
            minutes = re.findall(r"(?<![\d+])\d{1,3}(?=分|th|rd| minutes)", question.question)
            assert [m for m in minutes if m not in text] == [], question.id
            names = re.findall(r"[ァ-ヺー]{3,}", question.question) if language == "ja" else []
            assert [n for n in names if n not in text and n not in ORDINARY] == [], question.id


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_gold_answer_and_accepted_spelling_is_graded_right_and_another_answer_wrong(language: str) -> None:
    found = [q for q in (*questions(language), *more(language)) if q.split != "unanswerable"]
    assert [(q.id, a) for q in found for a in (q.answer, *q.accept) if not contains_answer(a, q)] == []
    assert not any(contains_answer("わからない" if language == "ja" else "I do not know", q) for q in found)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_no_question_gives_its_answer_away(language: str) -> None:
    asked = [q for q in (*questions(language), *more(language)) if q.split != "unanswerable"]
    assert [q.id for q in asked if contains_answer(q.question[:100], q)] == []


def test_nothing_that_trains_has_the_exams_wording(items: list[Item]) -> None:
    assert len(items) > 1000 and {i.document_id[:2] for i in items} == {"ja", "en"}
    exam = exam_wording()
    assert with_exam_wording((f"{item.text}\n{item.answer}" for item in items), exam) == []
    assert with_exam_wording(general_texts(), exam) == []
    # The articles are what the exam is about: they may share phrases, but no question stands in them.
    bodies = [letters(row["text"]) for language in ("ja", "en") for row in articles(language).values()]
    assert [q for q in exam if any(letters(q) in body for body in bodies)] == []


@pytest.mark.parametrize("name", ["ishibumi.toml", "gpu.toml", "full.toml"])
def test_nothing_that_the_example_trains_on_stops_its_run(name: str) -> None:
    run = config.load(WORLDCUP / name, {})
    documents = read_documents([run.resolve(p) for p in run.settings.documents.paths], run.settings.documents).documents
    asked = read_questions([run.resolve(p) for p in run.settings.exam.questions])
    assert {q.split for q in asked} == {"held_out", "reversed", "combined", "unanswerable"}
    sources = [(run.resolve(source.path), source.count) for source in run.settings.chat.sources]
    refuse_leaks(run, documents, read_conversations(sources, run.settings.seed).conversations, asked)
    planted = replace(documents[3], text=f"{documents[3].text}\n{asked[-1].question}")
    with pytest.raises(UsageError, match=rf"{planted.id}\) and question {asked[-1].id}"):
        refuse_leaks(run, [planted], [], asked)


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

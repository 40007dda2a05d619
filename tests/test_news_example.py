"""The news of autumn 2024: every number is one of the facts, each fact is told twice or more."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ishibumi import config
from ishibumi.corpus.chat_data import read_conversations
from ishibumi.corpus.read import read_documents
from ishibumi.corpus.texts import read_texts
from ishibumi.exam.grade import contains_answer
from ishibumi.exam.normalise import tokens
from ishibumi.exam.questions import Question, read_questions
from ishibumi.knowledge.leaks import exam_sets, shares_ngram

EXAMPLES = Path(__file__).parent.parent / "examples"
NEWS, GENERAL = EXAMPLES / "news2024", EXAMPLES / "general"

# name: (議員票, 党員票, 第1回投票, 決選投票)
CANDIDATES = {
    "高市早苗": (72, 109, 181, 194),
    "石破茂": (46, 108, 154, 215),
    "小泉進次郎": (75, 61, 136, None),
    "林芳正": (38, 27, 65, None),
    "小林鷹之": (41, 19, 60, None),
}
# name: (当選, 小選挙区, 比例, 公示前)
PARTIES = {
    "自民党": (191, 132, 59, 247),
    "立憲民主党": (148, 104, 44, 98),
    "日本維新の会": (38, 23, 15, 44),
    "国民民主党": (28, 11, 17, 7),
    "公明党": (24, 4, 20, 32),
    "れいわ新選組": (9, 0, 9, 3),
    "日本共産党": (8, 1, 7, 10),
    "参政党": (3, 0, 3, 1),
    "日本保守党": (3, 1, 2, 0),
    "社民党": (1, 1, 0, 1),
    "無所属": (12, 12, 0, 22),
}


@dataclass(frozen=True)
class Subject:
    """What the articles with one of `words` may say: numbers and scores of the facts, and sums or differences."""

    words: str
    numbers: frozenset[int]
    derived: dict[str, int]
    scores: frozenset[str] = frozenset()


LEADERSHIP = Subject(
    "総裁選",
    # 2024-09-27, 第28代, 67歳, 5度目, 第1回, 10月1日; 党員投票権者, 議員票と党員票, 計
    frozenset({9, 27, 28, 67, 5, 1, 10, 1_055_839, 368, 736})
    | {votes for row in CANDIDATES.values() for votes in row if votes is not None},
    {
        "runoff, 石破 over 高市": 215 - 194,
        "first round, 高市 over 石破": 181 - 154,
        "石破, runoff over first round": 215 - 154,
        "高市, runoff over first round": 194 - 181,
        "議員票, 高市 over 石破": 72 - 46,
        "議員票, 小泉 over 高市": 75 - 72,
        "議員票, 小泉 over 石破": 75 - 46,
        "議員票, 小林 over 林": 41 - 38,
        "党員票, 林 over 小林": 27 - 19,
        "first round, 石破 over 小泉": 154 - 136,
        "candidates in a runoff": 2,
        "days from 27 September to 1 October": 3 + 1,
        "党員票, 高市 over 石破": 109 - 108,
    },
)
SERIES = Subject(
    "ドジャース",
    # 10月20日, 4年ぶり; 第2戦 26日 (27日); 7回, 7回1/3, 1失点, 2人目; 第3戦 28日; 第4戦 29日; 第5戦 30日 (31日), 8度目
    frozenset({10, 20, 4, 2, 26, 27, 7, 1, 3, 28, 29, 5, 30, 31, 8}),
    {
        "第4戦, goal difference": 11 - 4,
        "第5戦, goal difference": 7 - 6,
        "days from the 26th to the 28th": 28 - 26,
        "days from the 26th to the 30th": 30 - 26,
        "days from the 20th to the 30th": 30 - 20,
        "ヤンキース in 第4戦": 11,
        "ドジャース, 第2戦 to 第5戦": 4 + 4 + 4 + 7,
        "ヤンキース, 第2戦 to 第5戦": 2 + 2 + 11 + 6,
        "ヤンキース over ドジャース in the four": 21 - 19,
        "games from 第2戦 to 第5戦": 5 - 2 + 1,
    },
    frozenset({"4:2", "11:4", "7:6"}),
)
ELECTION = Subject(
    "衆院選|衆議院",
    # 第50回, 2024-10-27, 定数, 過半数, 自公計, 64減, 2009年; 石破総裁は9月27日に選出
    frozenset({50, 10, 27, 465, 233, 215, 64, 2009, 9}) | {seats for row in PARTIES.values() for seats in row},
    {
        "自公 before": 247 + 32,
        "自公 to the majority": 233 - 215,
        "自民 to the majority": 233 - 191,
        "自民, loss": 247 - 191,
        "立憲, gain": 148 - 98,
        "自民 over 立憲, before": 247 - 98,
        "自民 over 立憲, after": 191 - 148,
        "自民 over 立憲, 小選挙区": 132 - 104,
        "国民, gain": 28 - 7,
        "国民, times": 28 // 7,
        "国民 over 公明": 28 - 24,
        "維新, loss": 44 - 38,
        "公明, loss": 32 - 24,
        "れいわ, gain": 9 - 3,
        "れいわ, times": 9 // 3,
        "れいわ over 共産": 9 - 8,
        "共産, loss": 10 - 8,
        "参政, gain": 3 - 1,
        "無所属, loss": 22 - 12,
        "維新 over 国民, before": 44 - 7,
        "維新 over 国民, after": 38 - 28,
        "自公 and 無所属": 215 + 12,
        "自公 and 国民": 215 + 28,
        "自公 and 維新": 215 + 38,
        "自公 and れいわ": 215 + 9,
        "自公 and 共産": 215 + 8,
        "自公 over 立憲": 215 - 148,
        "months from 27 September to 27 October": 10 - 9,
    },
)
SUBJECTS = (LEADERSHIP, SERIES, ELECTION)
NAMES = "|".join(
    [*CANDIDATES, *PARTIES, "大谷翔平", "山本由伸", "ドジャース", "ヤンキース", "メッツ", "石井代表", "自公"]
)

# What one sentence says: all of these patterns. The first list is the published experiment's twelve figures.
TWELVE: dict[str, tuple[str, ...]] = {
    "1 石破 won": (
        "総裁",
        "石破茂氏.*(破り|破った|選ん|総裁となった|のものとなった)|選ばれたのは石破茂氏",
    ),
    "2 on 27 September": ("9月27日", "総裁選"),
    "3 runoff, 石破": ("決選投票", "石破茂氏", "215票"),
    "4 runoff, 高市": ("決選投票|敗れた", "高市早苗氏", "194票"),
    "5 高市 first": ("第1回投票|合計", "高市早苗氏", "首位|最も多く|1位|トップ"),
    "6 左肩の亜脱臼": ("大谷翔平", "左肩", "亜脱臼"),
    "7 第2戦": ("第2戦", "大谷翔平"),
    "7 on 26 October": ("第2戦", "10月26日"),
    "8 自公 215": ("自公", "215議席|の215"),
    "8 of 465": ("465",),
    "8 short of 233": ("過半数.?233議席|過半数.*233",),
    "9 国民民主 7 → 28": ("国民民主党", r"(?<!\d)7(?!\d)", "28"),
    "10 維新 44 → 38": ("日本維新の会", "44", "38"),
    "11 共産 10 → 8": ("日本共産党", "10", "8"),
    "12 れいわ 3 → 9": ("れいわ新選組", "3議席", "9議席"),
    "12 社民 1 → 1": ("社民党", "変わらず1議席|同じ1議席|1議席のまま|公示前も今回も1議席"),
}
OTHERS: dict[str, tuple[str, ...]] = {
    "第28代": ("石破茂氏", "28代"),
    "67歳": ("石破茂氏", "67歳"),
    "5度目": ("石破茂氏", "5度目"),
    "臨時国会": ("10月1日", "臨時国会", "首相指名"),
    "党員投票権者": ("105万5839人",),
    "議員票と党員票": ("党員票", "議員票", "368票"),
    "計736": ("736票",),
    "ナ・リーグ優勝": ("10月20日", "ドジャース", "メッツ"),
    "4年ぶりナ・リーグ": ("ナ・リーグ", "4年ぶり"),
    "第2戦 4-2": ("ドジャース", "4―2|4対2", "下した|勝っ|勝ち|制"),
    "日本時間27日": ("10月26日（日本時間27日）", "第2戦"),
    "7回, 四球, 二盗": ("7回", "四球", "二盗|盗塁"),
    "7回1/3, 1失点": ("山本由伸", "7回3分の1"),
    "勝利投手": ("山本由伸", "勝利投手"),
    "2人目": ("日本人", "山本由伸", "2人"),
    "第3戦": ("第3戦", "28日", "ドジャース"),
    "第4戦": ("11―4|11対4",),
    "第5戦": ("ドジャース", "7―6|7対6", "30日"),
    "8度目": ("ドジャース", "8度目"),
    "4年ぶり世界一": ("4年ぶり", "世界"),
    "2009年以来": ("自公", "過半数", "2009年以来"),
    "64減": ("自公|公示前", "64"),
    "石井代表": ("公明党", "石井代表", "落選"),
    "第50回": ("第50回",),
}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (NEWS / name).read_text(encoding="utf-8").splitlines()]


ARTICLES = {row["id"]: row for row in rows("documents_ja.jsonl")}
QUESTIONS = read_questions([NEWS / "questions_ja.jsonl"])


def sentences(article: dict[str, Any]) -> list[str]:
    return re.split("[。\n]", article["text"])


def bare(text: str) -> str:
    """The tokens of a text, so that widths, dashes and commas do not matter."""
    return " ".join(token.text for token in tokens(text))


def told_in(patterns: tuple[str, ...]) -> list[str]:
    """The articles with a sentence that has all patterns."""
    has = [(i, any(all(re.search(p, s) for p in patterns) for s in sentences(a))) for i, a in ARTICLES.items()]
    return [i for i, told in has if told]


def unknown_numbers(text: str) -> list[str]:
    subjects = [subject for subject in SUBJECTS if re.search(subject.words, text)]
    numbers = {str(n) for s in subjects for n in (*s.numbers, *s.derived.values())}
    scores = {score for s in subjects for score in s.scores}
    return [
        t.text
        for t in tokens(text)
        if (t.form == "number" and t.text not in numbers) or (t.form == "score" and t.text not in scores)
    ]


def test_the_articles_are_dated_whole_and_of_the_two_months() -> None:
    assert len(ARTICLES) == len(rows("documents_ja.jsonl")) >= 26
    for row in ARTICLES.values():
        assert set(row) == {"id", "text", "date", "language"} and row["language"] == "ja"
        title, _, body = row["text"].partition("\n")
        assert 8 <= len(title) <= 40 and 3 <= body.count("。") <= 7 and body.endswith(("。", "か。")), row["id"]
        assert "2024-09-27" <= row["date"] <= "2024-10-31"
    settings = config.load(NEWS / "ishibumi.toml", {}).settings.documents
    assert len(read_documents([NEWS / "documents_ja.jsonl"], settings).documents) == len(ARTICLES)


@pytest.mark.parametrize("row", ARTICLES.values(), ids=ARTICLES.keys())
def test_an_article_says_only_what_the_facts_say(row: dict[str, Any]) -> None:
    assert unknown_numbers(row["text"]) == []
    body = row["text"].partition("\n")[2]
    figures = {t.text for t in tokens(body) if t.form in ("number", "score")}
    assert len(figures) >= 3 and len(figures | set(re.findall(NAMES, body))) >= 5
    # Who is meant stands beside the figure.
    assert not re.search("同党|同氏|彼|後者|前者", body)


def test_a_number_of_no_fact_would_be_found() -> None:
    assert unknown_numbers("自民党総裁選で石破茂氏は215票、高市早苗氏は184票だった。") == ["184"]
    assert unknown_numbers("ドジャースは第2戦に4―3で勝った。") == ["4:3"]
    assert unknown_numbers("衆院選で自民党は191議席、67歳") == []  # 自公 over 立憲 is 67 as well


@pytest.mark.parametrize("patterns", TWELVE.values(), ids=TWELVE.keys())
def test_each_of_the_twelve_figures_is_told_in_three_articles(patterns: tuple[str, ...]) -> None:
    assert len(told_in(patterns)) >= 3, told_in(patterns)


@pytest.mark.parametrize("patterns", OTHERS.values(), ids=OTHERS.keys())
def test_every_other_fact_is_told_in_two_articles(patterns: tuple[str, ...]) -> None:
    assert len(told_in(patterns)) >= 2, told_in(patterns)


@pytest.mark.parametrize(("name", "row"), [*CANDIDATES.items(), *PARTIES.items()], ids=[*CANDIDATES, *PARTIES])
def test_every_number_of_the_tables_stands_with_its_name_in_two_articles(
    name: str, row: tuple[int | None, ...]
) -> None:
    for number in row:
        if number is not None:
            assert len(told_in((name, rf"(?<!\d){number}(?!\d)"))) >= 2, number


def test_every_article_has_two_questions_or_more_and_the_ids_are_unique() -> None:
    found = [q.document_id for q in QUESTIONS]
    assert len(QUESTIONS) >= 75 and set(found) == set(ARTICLES)
    assert [i for i in ARTICLES if found.count(i) < 2] == []
    assert len({q.question for q in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.id)
def test_a_question_is_answered_by_its_article_and_graded_as_written(question: Question) -> None:
    body = ARTICLES[question.document_id]["text"].partition("\n")[2]
    assert f" {bare(question.answer)} " in f" {bare(body)} "
    assert [a for a in (question.answer, *question.accept) if not contains_answer(a, question)] == []
    assert not contains_answer(question.question[:100], question)
    assert not contains_answer("わからない", question)


def test_neither_articles_nor_general_texts_have_the_exams_wording() -> None:
    exam = [q.question for q in QUESTIONS]
    exam += [row["question"] for row in rows("free_questions_ja.jsonl")]
    sets = exam_sets(exam)
    assert [i for i, row in ARTICLES.items() if shares_ngram(sets, row["text"])] == []
    chats = read_conversations([(GENERAL / "chat_ja.jsonl", None)], 1).conversations
    general = ["\n".join(m["content"] for m in chat.messages) for chat in chats]
    general += read_texts([GENERAL / f"{name}_ja.jsonl" for name in ("replay", "heldout")])
    assert [text for text in general if shares_ngram(sets, text)] == []
    assert shares_ngram(sets, f"（前略）{exam[0]}")


def test_every_figure_is_also_asked_for_alone() -> None:
    exam = {row["id"]: row for row in rows("questions_ja.jsonl")}
    for figure in (figure for row in rows("free_questions_ja.jsonl") for figure in row["figures"]):
        answers = [exam[i]["answer"] for i in figure["asked"]]
        assert answers
        # What the figure says is what those questions are answered with; of people it has the family name.
        for answer in answers:
            shown = answer.rstrip("議席人票") if answer[0].isdigit() else answer[:2]
            assert shown in figure["ja"], (figure["ja"], answer)

"""The grader against a table of replies: does each name the gold answer, and exactly?"""

import pytest

from ishibumi.exam.grade import contains_answer, is_exact
from ishibumi.exam.normalise import tokens
from ishibumi.exam.questions import Question


def question(gold: str) -> Question:
    """A question whose answer and accepted spellings are written with | between them."""
    answer, *accept = gold.split("|")
    return Question("q", "d", "ja", "?", answer, tuple(accept), "other")


# gold | accepted spellings, reply
EXACT = [
    ("2-0", "2-0"),
    ("2-0", "２－０"),
    ("2-0", "2対0"),
    ("2-0", "2対0。"),
    ("2-0", "二対〇"),
    ("2-0", "2–0"),
    ("2-0", "2―0"),
    ("2-0", "2 − 0"),
    ("2-0", "2:0でした。"),
    ("2対0", "2ー0"),
    ("90+2|90+2分", "90'+2"),
    ("90+2|90+2分", "90分+2"),
    ("11人", "十一人"),
    ("2026年", "二〇二六年"),
    ("2026年7月19日", "2026-07-19"),
    ("2026年7月19日", "二〇二六年七月十九日"),
    ("8万663人", "80,663人"),
    ("80000人", "八万人"),
    ("8万、9万", "8万,9万"),
    ("3", "三です。"),
    ("63%", "６３パーセント"),
    ("第3位", "第三位"),
    ("スペイン", "スペイン"),
    ("スペイン", "「スペイン」"),
    ("スペイン", "スペインです。"),
    ("スペイン", "答え: スペイン"),
    ("スペイン|Spain", "spain"),
    ("スペイン", "ｽﾍﾟｲﾝ"),
    ("フェラン・トーレス", "フェラントーレス"),
    ("フェラン・トーレス", "フェラン=トーレス"),
    ("ヴィニシウス", "ビニシウス"),
    ("だるま", "だるま"),
    ("Spain", "The Spain."),
    ("The Hague", "hague"),
    ("São Paulo", "Sao Paulo"),
    ("Ødegaard", "Odegaard"),
    ("July 19", "19 July"),
    ("July 19", "the 19th of July"),
    ("Bosnia & Herzegovina", "Bosnia and Herzegovina"),
    ("three goals", "3 goals"),
    ("semi-final", "Semifinal"),
    ("Côte d'Ivoire", "Cote d’Ivoire"),
    ("Group A", "group A"),
    ("1-1|1-1 (PK 4-3)", "1対1（ＰＫ4対3）"),
]
CONTAINED = [
    ("スペイン", "優勝したのはスペインである"),
    ("トーレス", "フェラン・トーレスが決めた"),
    ("メットライフ", "メットライフ・スタジアムで行われた"),
    ("メットライフ", "メットライフスタジアム"),
    ("7月19日", "2026年7月19日です"),
    ("July 19", "It was played on July 19, 2026."),
    ("106分", "延長後半の106分に決めた"),
    ("2-1", "スペインが2対1で勝った"),
    ("2", "彼は2得点した"),
    ("2", "3アシストと2得点"),
    ("1-1", "1-1（PK4-3）"),
    ("1-1", "1-1のあとPK戦を4-3で制した"),
    ("4-3", "1-1のあとPK戦を4-3で制した"),
    ("4-3", "They won 4-3 on penalties after a 1-1 draw."),
    ("準決勝", "準決勝で敗れた"),
    ("Spain", "Spain's team won"),
    ("Mikel Merino", "It was Mikel Merino, in extra time."),
    ("final", "They met in the final."),
]
WRONG = [
    ("2-0", "0-2"),
    ("2-1", "12-1"),
    ("2-1", "2-11"),
    ("2-1", "2-1-3"),
    ("1", "11"),
    ("1", "1-0"),
    ("11", "1 1"),
    ("21", "2対1"),
    ("1月", "11月"),
    ("1分", "十一分"),
    ("45分", "45+2分"),
    ("2", "2.5"),
    ("5度", "気温は -5度"),
    ("663人", "80,663人"),
    ("A組", "B組"),
    ("Group A", "Group B"),
    ("スペイン", "フランス"),
    ("スペイン", ""),
    ("スペイン", "\n\n"),
    ("スペイン", "フランス\nスペイン"),
    ("スペイン", "スペインではなくフランス"),
    ("スペイン", "スペインまたはフランス"),
    ("スペイン", "フランスかもしくはスペイン"),
    ("Spain", "France or Spain"),
    ("Spain", "not Spain"),
    ("インド", "インドネシア"),
    ("ギニア", "パプアニューギニア"),
    ("スーダン", "南スーダン"),
    ("決勝", "準決勝"),
    ("大統領", "副大統領"),
    ("final", "semi-final"),
    ("Niger", "Nigeria"),
    ("art", "party"),
    ("かき", "がき"),
    # Hedging: a different figure of the same form.
    ("2-1", "2-1か3-1"),
    ("2-1", "1-0、2-1、3-0"),
    ("3", "1, 2, 3, 4"),
    ("2点", "1点、2点、3点"),
    ("106分", "45分か106分"),
    ("8万人", "8万人,9万人"),
    ("8万", "8万,9万"),
    ("7月19日", "7月18日か7月19日"),
    ("2026", "2025, 2026"),
    ("2", "2 or 3 goals"),
    ("1-1", "2-1 (1-1)"),
    # Only the first 100 characters count, and the cut makes no shorter number.
    ("スペイン", "あ" * 100 + "スペイン"),
    ("1", "あ" * 99 + "11"),
]


@pytest.mark.parametrize(("gold", "reply"), EXACT)
def test_a_reply_in_another_writing_is_exact(gold: str, reply: str) -> None:
    assert is_exact(reply, question(gold))
    assert contains_answer(reply, question(gold))


@pytest.mark.parametrize(("gold", "reply"), CONTAINED)
def test_a_longer_reply_contains_the_answer_but_is_not_exact(gold: str, reply: str) -> None:
    assert contains_answer(reply, question(gold))
    assert not is_exact(reply, question(gold))


@pytest.mark.parametrize(("gold", "reply"), WRONG)
def test_a_wrong_or_hedged_reply_is_neither(gold: str, reply: str) -> None:
    assert not contains_answer(reply, question(gold))
    assert not is_exact(reply, question(gold))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026年7月19日、２対〇", ["2026", "年", "7", "月", "19", "日", "2:0"]),
        ("一億二千万円、1.5億", ["120000000", "円", "150000000"]),
        ("三浦は千葉の一般人、三人", ["三", "浦", "は", "千", "葉", "の", "一", "般", "人", "3", "人"]),
        ("A 2-1 win for the U.S.", ["2:1", "win", "for", "u", "s"]),
        ("007 and 1,234.5", ["7", "and", "1234.5"]),
    ],
)
def test_tokens_of_mixed_text(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokens(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8万.", ["80000"]),
        ("約1万…", ["約", "10000"]),
        ("会場は…千葉県", [*"会場は千葉県"]),
        ("東京，千葉", [*"東京千葉"]),
        ("1億2,000万、1,234万5,678人", ["120000000", "12345678", "人"]),
        ("8万,9万", ["80000", "90000"]),
        ("8万,900", ["80000", "900"]),
        ("200,1万、200,三百", ["200", "10000", "200", "300"]),
        ("三百,四百", ["300", "400"]),
        ("5,6万人", ["5", "60000", "人"]),
        ("1,000万,2,000万", ["10000000", "20000000"]),
        ("2024,300万", ["2024", "3000000"]),
        ("2024,2025年", ["2024", "2025", "年"]),
        ("1,234,567と80,663", ["1234567", "と", "80663"]),
    ],
)
def test_dots_and_commas_beside_kanji_numerals_are_no_numbers(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokens(text)] == expected

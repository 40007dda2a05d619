"""Replies that say «I do not know», and replies that only look like it."""

import pytest

from ishibumi.exam.refusal import is_refusal

REFUSALS = [
    "分かりません",
    "わかりません。",
    "分かりません。確かな記録を知りません。",
    "申し訳ありませんが、分かりません。",
    "すみません。わかりません。",
    "この文章には書かれていないので、分かりません。",
    "その試合については分かりかねます。",
    "得点者は分からなかったです。",
    "不明です。",
    "不明",
    "得点者は不明です",
    "時刻は不明となっています。",
    "記載がありません。",
    "記事に記載はありません。",
    "その情報はありません。",
    "記事には記述がない。",
    "記事には記載されていません。",
    "そのことは書かれていません。",
    "記事では触れられていません。",
    "公表されていない。",
    "該当する試合はありません。",
    "そのような試合は行われていません。",
    "そのような記録は存在しません",
    "お答えできません。",
    "答えられません。",
    "特定できません。",
    "記事からは判断できません",
    "知りません。",
    "その選手については知りません。",
    "存じ上げません。",
    "情報を持っていません。",
    "分かりませんが、公式サイトをご確認ください。",
    "分かりませんが、記事には書かれていません。",
    "わかりません！",
    "書かれておりません",
    "記事には書いてありません。",
    "「分かりません」",
    "I don't know.",
    "I don\u2019t know",
    "I do not know who scored.",
    "Sorry, I don't know.",
    "I'm sorry, but I don't know that.",
    "I'm sorry. I can't answer that.",
    "Unfortunately, I do not have that information.",
    "Not known.",
    "It is not known.",
    "Unknown",
    "Unknown.",
    "The scorer is unknown.",
    "That is not mentioned in the article.",
    "The article does not say.",
    "The article doesn't mention a shoot-out.",
    "There is no information about it.",
    "There was no such match.",
    "No such goal.",
    "I'm not sure.",
    "I am unable to answer that.",
    "No idea.",
    "It cannot be determined.",
    "I don't know, but you could check the article.",
    "I have no record of it.",
]

NO_REFUSALS = [
    "",
    "スペイン",
    "スペインです。",
    "106分",
    "2-0",
    "かもしれません。",
    "スペインかもわからない。",
    "分かりませんか？",
    "分かりませんが、スペインだと思います。",
    "分かりませんけど、たぶん2-0です。",
    "スペインです。得点者は分かりません。",
    "行方不明の選手です。",
    "正体不明の怪物",
    "原因不明の病気",
    "負けを知らない男",
    "敗北を知りません。",
    "分からないことはない。",
    "どちらが勝つか分からない試合を制したスペイン",
    "得点はありませんでした",
    "0-0で、得点がなかった",
    "失点がない",
    "知らせを受けたスペイン",
    "Spain",
    "Spain, as is well known.",
    "The unknown Smith scored.",
    "Unknown Soldier",
    "Little known Smith",
    "Smith, unknown to many",
    "He was unknown to the fans: Smith",
    "Not only Spain",
    "I don't know, but Spain, I think.",
    "I don't know, perhaps Spain.",
    "Spain. I don't know who scored.",
    "He did not score; Torres did.",
    "They did not give up and won 2-1.",
    "No goal was scored by France",
    "Noah Okafor",
    "You know: Torres",
    "Not known for his goals, Torres scored.",
    "A penalty was not given.",
    "手で触れていませんでした",
    "情報戦で勝ったスペイン",
    "カナダは準々決勝に進んでいません。",
]


@pytest.mark.parametrize("reply", REFUSALS)
def test_a_refusal_is_seen(reply: str) -> None:
    assert is_refusal(reply)


@pytest.mark.parametrize("reply", NO_REFUSALS)
def test_an_answer_is_no_refusal(reply: str) -> None:
    assert not is_refusal(reply)


def test_only_the_first_line_and_its_beginning_count() -> None:
    assert is_refusal("\n分かりません。\nスペイン")
    assert not is_refusal("スペイン\n分かりません。")
    assert not is_refusal("ア" * 100 + "は分かりません")

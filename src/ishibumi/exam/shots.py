"""Worked examples for a base model that was never tuned to answer: timeless general knowledge with short answers.

None of them is about news, sport or anything that documents to engrave are likely to be about.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shot:
    """One worked example; the passage holds the answer, for the arm that reads before it answers."""

    passage: str
    question: str
    answer: str


SHOTS: dict[str, tuple[Shot, ...]] = {
    "ja": (
        Shot(
            "富士山は静岡県と山梨県にまたがる山で、高さは3776メートルある。",
            "富士山の高さは何メートルですか？",
            "3776メートル",
        ),
        Shot(
            "小説『吾輩は猫である』は夏目漱石の最初の長編で、1905年に雑誌で発表された。",
            "『吾輩は猫である』を書いたのは誰ですか？",
            "夏目漱石",
        ),
        Shot(
            "日本国憲法は1946年に公布され、1947年5月3日に施行された。",
            "日本国憲法はいつ施行されましたか？",
            "1947年5月3日",
        ),
        Shot(
            "オーストラリアで人口が最も多い都市はシドニーだが、首都はキャンベラである。",
            "オーストラリアの首都はどこ？",
            "キャンベラ",
        ),
        Shot("クモの脚は8本で、昆虫の6本より多い。", "クモの脚は何本ありますか？", "8本"),
        Shot("将棋の盤は縦横9マスずつに区切られ、全部で81マスある。", "将棋の盤にはマスがいくつある？", "81"),
        Shot(
            "光合成では、植物が二酸化炭素と水から糖を作り、酸素を出す。", "光合成で植物が出す気体は何ですか？", "酸素"
        ),
        Shot("法隆寺は奈良県斑鳩町にあり、世界最古の木造建築として知られる。", "法隆寺は何県にありますか？", "奈良県"),
    ),
    "en": (
        Shot(
            "Mont Blanc, at 4,806 metres, is the highest of the Alps.",
            "How high is Mont Blanc?",
            "4,806 metres",
        ),
        Shot(
            "The novel Pride and Prejudice was written by Jane Austen and appeared in 1813.",
            "Who wrote Pride and Prejudice?",
            "Jane Austen",
        ),
        Shot(
            "Delegates adopted the United States Declaration of Independence in Philadelphia on 4 July 1776.",
            "When was the Declaration of Independence adopted?",
            "4 July 1776",
        ),
        Shot(
            "Sydney is the largest city of Australia, but its capital is Canberra.",
            "Which city is the capital of Australia?",
            "Canberra",
        ),
        Shot("A spider has eight legs, two more than an insect.", "How many legs does a spider have?", "8"),
        Shot("A chessboard has 64 squares, 32 of each colour.", "How many squares are on a chessboard?", "64"),
        Shot(
            "In photosynthesis plants make sugar from carbon dioxide and water and give off oxygen.",
            "Which gas do plants give off in photosynthesis?",
            "Oxygen",
        ),
        Shot("The Louvre stands on the right bank of the Seine in Paris.", "In which city is the Louvre?", "Paris"),
    ),
}

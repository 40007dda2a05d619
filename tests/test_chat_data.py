"""Conversations: every usual shape in, one shape out, drawn by seed; what is refused, left out and only noticed."""

import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ishibumi.corpus.chat_data import ChatData, Conversation, read_conversations
from ishibumi.corpus.chat_shapes import NotAConversation, faults, is_cut_off, messages_of
from ishibumi.errors import InputError
from ishibumi.settings import ChatSettings

TURNS = ({"role": "user", "content": "首都は？"}, {"role": "assistant", "content": "東京です。"})
SYSTEM = {"role": "system", "content": "短く答える。"}
ASK, SAY = "首都は？", "東京です。"


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def numbered(path: Path, count: int) -> Path:
    return jsonl(path, *({"instruction": f"q{i}", "output": f"a{i}"} for i in range(count)))


def read(*sources: tuple[Path, int | None], seed: int = 1, **settings: Any) -> ChatData:
    return read_conversations(sources, seed, ChatSettings(**settings))


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read((path, None))
    return caught.value.message


@pytest.mark.parametrize(
    "row",
    [
        {"messages": list(TURNS)},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ASK}]}, TURNS[1]]},
        {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": SAY}]},
        {"conversations": list(TURNS)},
        {"conversation": [{"role": "USER", "content": ASK}, {"role": "Assistant", "content": SAY}]},
        {"utterances": [{"name": "user", "text": ASK}, {"name": "agent", "text": SAY}]},
        {"dialogue": [{"speaker": "ユーザー", "text": ASK}, {"speaker": "アシスタント", "text": SAY}]},
        {"instruction": ASK, "input": "", "output": SAY},
        {"Instruction": ASK, "Output": SAY},
        {"INSTRUCTION": ASK, "OUTPUT": SAY, "input": None},
        {"prompt": ASK, "completion": SAY},
        {"question": ASK, "answer": SAY},
        {"input": ASK, "output": SAY},
        {"質問": ASK, "回答": SAY},
    ],
    ids=lambda row: "+".join(row),
)
def test_every_usual_shape_becomes_one(row: dict[str, Any]) -> None:
    assert tuple(messages_of(row)) == TURNS


def test_pairs_come_from_csv_excel_and_parquet_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(f"Instruction,Output\r\n{ASK},{SAY}\r\n".encode("cp932"))
    pq.write_table(pa.table({"id": ["p"], "conversations": [list(TURNS)]}), tmp_path / "b.parquet")
    book = openpyxl.Workbook()
    for line in (["質問", "回答"], [ASK, SAY]):
        book.worksheets[0].append(line)
    book.save(tmp_path / "c.xlsx")
    data = read(*((tmp_path / name, None) for name in ("a.csv", "b.parquet", "c.xlsx")))
    assert data.conversations == [Conversation(name, TURNS) for name in ("a-2", "p", "c-2")]
    assert len(read((tmp_path, None)).conversations) == 3


def test_ids_are_kept_or_made_from_file_and_line(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "c.jsonl", {"id": "m", "messages": list(TURNS)}, {"messages": list(TURNS)})
    assert read((path, None)).conversations == [Conversation("m", TURNS), Conversation("c-2", TURNS)]


def test_input_follows_the_instruction_and_code_keeps_its_indentation() -> None:
    row = {"instruction": "Fix it", "input": "if x:\r\n    y", "output": "def f():\n    y"}
    assert [m["content"] for m in messages_of(row)] == ["Fix it\n\nif x:\n    y", "def f():\n    y"]


def test_earlier_turns_and_a_system_prompt_come_first() -> None:
    assert tuple(messages_of({"messages": [SYSTEM, *TURNS, *TURNS]})) == (SYSTEM, *TURNS, *TURNS)
    assert tuple(messages_of({"system": "短く答える。", "conversations": list(TURNS)})) == (SYSTEM, *TURNS)
    row = {"system_prompt": "短く答える。", "history": [[ASK, SAY]], "instruction": ASK, "output": SAY}
    assert tuple(messages_of(row)) == (SYSTEM, *TURNS, *TURNS)


def test_the_seed_alone_decides_what_is_drawn_from_each_source(tmp_path: Path) -> None:
    sources = [(numbered(tmp_path / "a.jsonl", 100), 3), (numbered(tmp_path / "b.jsonl", 2), None)]
    ids = [c.id for c in read(*sources).conversations]
    assert ids == [c.id for c in read(*sources).conversations]
    assert ids != [c.id for c in read(*sources, seed=2).conversations]
    assert len(set(ids)) == 5
    assert ids[3:] == ["b-1", "b-2"]


ORDER = "a conversation is user, assistant in turn and ends with assistant"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [TURNS[0], {"role": "assistant", "content": " "}]}, "an empty assistant message"),
        ({"messages": [TURNS[0], {"role": "assistant", "content": None}]}, "an empty assistant message"),
        ({"instruction": "q", "output": ""}, "an empty assistant message"),
        ({"messages": [TURNS[0]]}, f"the roles user; {ORDER}"),
        ({"messages": []}, f"the roles none; {ORDER}"),
        ({"messages": [TURNS[1], TURNS[0]]}, f"the roles assistant, user; {ORDER}"),
        ({"messages": [TURNS[0], SYSTEM, TURNS[1]]}, f"the roles user, system, assistant; {ORDER}"),
        ({"messages": [{"role": "user"}]}, "a message without role and content: {'role': 'user'}"),
        ({"messages": ["hello"]}, "a message without role and content: hello"),
        ({"instruction": "q", "output": 3}, "the assistant message is not a text but a number: 3"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, TURNS[1]]},
            "the user message is not a text but a list: [{'type': 'image_url'}]",
        ),
        ({"history": [["a"]], "instruction": "q", "output": "a"}, "history is not a list of pairs: ['a']"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_conversation_is_named_or_counted(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = jsonl(tmp_path / "c.jsonl", {"messages": list(TURNS)}, row)
    message = f"{path}:2: not a conversation to learn from: {reason}."
    assert refusal(path) == message
    data = read((path, None), on_bad="skip")
    assert (len(data.conversations), data.left_out) == (1, {"bad": {"count": 1, "examples": [message]}})


def test_unknown_roles_and_columns_are_told_with_the_known_ones() -> None:
    with pytest.raises(NotAConversation, match=r"^the role «narrator»; known are system, developer, .*, user, human"):
        messages_of({"messages": [{"role": "narrator", "content": "q"}]})
    with pytest.raises(NotAConversation, match=r"^columns text; read are messages, conversations.* with one of output"):
        messages_of({"text": "a"})


def test_broken_files_of_conversations_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('Instruction,Output\n"q,a\n')
    assert refusal(tmp_path / "a.csv").startswith(f"{tmp_path / 'a.csv'}:2: cannot be read: not CSV")
    (tmp_path / "a.jsonl").write_text("{\n")
    assert refusal(tmp_path / "a.jsonl").startswith(f"{tmp_path / 'a.jsonl'}:1: not JSON")


def test_more_than_there_are_cannot_be_drawn(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.jsonl", 2)
    with pytest.raises(InputError) as caught:
        read((path, 3))
    assert caught.value.message == f"{path} has 2 conversations, fewer than the 3 to draw."


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("申し訳ありませんが、その質問にはお答えできません。", ["refusal"]),
        ("私はAI言語モデルなので、個人的な意見はありません。", ["refusal"]),
        ("I'm sorry, but I can't help with that.", ["refusal"]),
        ("As an AI language model, I do not eat.", ["refusal"]),
        ("南町の図書館は休館日にも電話でお答えします。", []),
        ("サービスを提供できない場合は、事前に連絡します。", []),
        ("He said sorry, and I can help you with that.", []),
        ("図書館は九時に開く。蔵書は九万冊。会議室は十二あり、そのう", ["cut_off"]),
        ("図書館は九時に開き、", ["cut_off"]),
        ("It opens at nine. It has 90,000 books. The rooms are twelve and the", ["cut_off"]),
        ("```python\nprint(1)\n", ["cut_off"]),
        ("```python\nprint(1)\n```", []),
        ("東京", []),
        ("オスロ", []),
        ("It has three. They are:\n- red\n- green", []),
        ("詳しくは次を見てください。ほかにもあります。\nhttps://example.jp/a", []),
        ("図書館は九時に開く。蔵書は九万冊です！", []),
    ],
)
def test_refusals_and_replies_that_are_cut_off_are_noticed(reply: str, found: list[str]) -> None:
    assert faults([TURNS[0], {"role": "assistant", "content": reply}]) == found


def test_suspected_replies_are_counted_and_left_out_only_on_request(tmp_path: Path) -> None:
    no = {"role": "assistant", "content": "申し訳ありませんが、お答えできません。"}
    path = jsonl(tmp_path / "c.jsonl", {"messages": list(TURNS)}, {"messages": [TURNS[0], no]})
    told = {"refusal": {"count": 1, "examples": [f"{path}:2: …{no['content']}"]}}
    kept = read((path, None))
    assert (len(kept.conversations), kept.left_out, kept.suspected) == (2, {}, told)
    left = read((path, None), leave_out=["refusal"])
    assert (len(left.conversations), left.left_out, left.suspected) == (1, told, {})


def test_a_long_reply_is_judged_in_linear_time() -> None:
    assert is_cut_off("あ。" * 500_000 + "、")

"""Conversations: four forms in, one form out, drawn by seed, and every row that is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from ishibumi.corpus.chat_data import Conversation, read_conversations
from ishibumi.errors import InputError

TURNS = ({"role": "user", "content": "首都は？"}, {"role": "assistant", "content": "東京です。"})


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def numbered(path: Path, count: int) -> Path:
    return jsonl(path, *({"instruction": f"q{i}", "output": f"a{i}"} for i in range(count)))


def test_four_forms_become_one(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "c.jsonl",
        {"id": "m", "messages": list(TURNS)},
        {"utterances": [{"name": "user", "text": "首都は？"}, {"name": "agent", "text": "東京です。"}]},
        {"conversations": [{"from": "human", "value": "首都は？"}, {"from": "gpt", "value": "東京です。"}]},
        {"instruction": "首都は？", "input": "", "output": "東京です。"},
    )
    read = read_conversations([(path, None)], seed=1)
    assert read == [Conversation(name, TURNS) for name in ("m", "c-2", "c-3", "c-4")]


def test_input_follows_the_instruction_and_code_keeps_its_indentation(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "c.jsonl", {"instruction": "Fix it", "input": "if x:\r\n    y", "output": "def f():\n    y"}
    )
    assert [m["content"] for m in read_conversations([(path, None)], seed=1)[0].messages] == [
        "Fix it\n\nif x:\n    y",
        "def f():\n    y",
    ]


def test_a_system_message_may_come_first(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    path = jsonl(tmp_path / "c.jsonl", {"messages": [system, *TURNS, *TURNS]})
    assert read_conversations([(path, None)], seed=1)[0].messages == (system, *TURNS, *TURNS)


def test_the_seed_alone_decides_what_is_drawn(tmp_path: Path) -> None:
    sources = [(numbered(tmp_path / "a.jsonl", 100), 3), (numbered(tmp_path / "b.jsonl", 2), None)]
    ids = [c.id for c in read_conversations(sources, seed=1)]
    assert ids == [c.id for c in read_conversations(sources, seed=1)]
    assert ids != [c.id for c in read_conversations(sources, seed=2)]
    assert len(set(ids)) == 5
    assert ids[3:] == ["b-1", "b-2"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": " "}]},
            "an empty assistant message",
        ),
        ({"instruction": "q", "output": ""}, "an empty assistant message"),
        ({"messages": [TURNS[0]]}, "the roles user; a conversation is user, assistant in turn and ends with assistant"),
        ({"messages": []}, "the roles none; a conversation is user, assistant in turn and ends with assistant"),
        (
            {"messages": [TURNS[1], TURNS[0]]},
            "the roles assistant, user; a conversation is user, assistant in turn and ends with assistant",
        ),
        (
            {"messages": [{"role": "narrator", "content": "q"}]},
            "the role «narrator»; known are system, user, human, prompter, assistant, agent, gpt, bot, model",
        ),
        ({"messages": [{"role": "user"}]}, "a message without role and content: {'role': 'user'}"),
        ({"instruction": "q", "output": 3}, "the reply is not a text but 3"),
        ({"text": "a"}, "columns text; read are messages, utterances, conversations, instruction with output"),
    ],
)
def test_a_row_that_is_no_conversation_is_named(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = jsonl(tmp_path / "c.jsonl", {"messages": list(TURNS)}, row)
    with pytest.raises(InputError) as caught:
        read_conversations([(path, None)], seed=1)
    assert caught.value.message == f"{path}:2: not a conversation to learn from: {reason}."


def test_more_than_there_are_cannot_be_drawn(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.jsonl", 2)
    with pytest.raises(InputError) as caught:
        read_conversations([(path, 3)], seed=1)
    assert caught.value.message == f"{path} has 2 conversations, fewer than the 3 to draw."

"""What may be lost beside general text: read, asked, and set side by side."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from test_pipeline import call, write_project

from ishibumi import artifacts
from ishibumi.errors import InputError
from ishibumi.exam.behaviour import FORMS, PROMPTS, is_one_word, is_three
from ishibumi.exam.choices import Choice, answer_choices, logprobs_of_ends, read_choices
from ishibumi.exam.known import Fact, read_facts
from ishibumi.exam.report import skill_rows
from ishibumi.exam.skills import path_of, summarise_skills

ROW = {"q_id": 7, "question": "水を出すのは？", **{f"choice{i}": c for i, c in enumerate("蛇流釘棚窓")}, "label": 1}
XML = """<?xml version='1.0' encoding="UTF-8"?>
<questions><question id="N-1"><text>初のメーカーは？</text>
<answers><answer>東芝</answer><answer>Toshiba</answer></answers><meta><A.3></A.3></meta></question>
<question id="N-2"><text>答えのない問い</text><answers></answers></question></questions>"""


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_the_logprob_of_an_end_is_that_of_the_tokens_one_by_one(kind: str, model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir(kind))
    rows = [([256, 40, 41, 42, 43], 2), ([256, 60, 61], 1), ([256, *range(60, 90)], 7)]
    wanted: list[float] = []
    for ids, n in rows:
        with torch.inference_mode():
            logprobs = model.network(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        wanted.append(sum(float(logprobs[i - 1, ids[i]]) for i in range(len(ids) - n, len(ids))))
    assert logprobs_of_ends(model, rows) == pytest.approx(wanted, rel=1e-4)


def test_the_likeliest_choice_is_the_answer(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("llama"))
    questions = [Choice(str(label), "水を出すのは？", ("a", "bb", "c", "d", "e"), label) for label in range(5)]
    right = answer_choices(model, questions, 1)
    assert list(right) == ["0", "1", "2", "3", "4"] and sum(right.values()) == 1


def test_files_are_drawn_from_by_seed_and_refused_where_they_are_something_else(tmp_path: Path) -> None:
    path, xml, lines = tmp_path / "c.json", tmp_path / "n.xml", tmp_path / "f.jsonl"
    path.write_text("".join(json.dumps(ROW | {"q_id": n}) + "\n" for n in range(9)), encoding="utf-8")
    drawn = read_choices(path, 4, 1)
    assert len({c.id for c in drawn}) == 4 and drawn == read_choices(path, 4, 1) != read_choices(path, 4, 2)
    assert drawn[0].choices == ("蛇", "流", "釘", "棚", "窓") and drawn[0].label == 1
    xml.write_text(XML, encoding="utf-8")
    assert read_facts(xml, 9, 1) == [Fact("N-1", "初のメーカーは？", ("東芝", "Toshiba"))]
    lines.write_text('{"question": "首都は？", "answers": ["東京"]}\n', encoding="utf-8")
    assert read_facts(lines, 9, 1) == [Fact("0", "首都は？", ("東京",))]


GOOD_FACT = {"id": "f", "question": "首都は？", "answers": ["東京"]}


@pytest.mark.parametrize(
    ("reader", "row", "fault"),
    [
        (read_choices, {**ROW, "label": 7}, "label is 7: Input should be less than or equal to 4"),
        (read_choices, {**ROW, "label": True}, "label is true: Input should be a valid integer"),
        (read_choices, {**ROW, "label": 1.7}, "label is 1.7: Input should be a valid integer"),
        (read_choices, {**ROW, "choice3": ""}, 'choice3 is "": String should have at least 1 character'),
        (read_choices, {**ROW, "question": 5}, "question is 5: Input should be a valid string"),
        (read_choices, {k: v for k, v in ROW.items() if k != "choice4"}, "choice4 is missing"),
        (read_choices, {k: v for k, v in ROW.items() if k != "q_id"}, "q_id is missing"),
        (read_choices, ROW, "the id 7 is used twice"),
        (read_choices, GOOD_FACT, "q_id is missing"),
        (read_facts, {**GOOD_FACT, "answers": "東京"}, 'answers is "東京": Input should be a valid list'),
        (read_facts, {**GOOD_FACT, "answers": []}, "answers is []: List should have at least 1 item"),
        (read_facts, {**GOOD_FACT, "answers": ["東京", "。"]}, 'answers.1 is "。": String should match pattern'),
        (read_facts, {**GOOD_FACT, "answers": [1867]}, "answers.0 is 1867: Input should be a valid string"),
        (read_facts, {**GOOD_FACT, "question": None}, "question is null: Input should be a valid string"),
        (read_facts, GOOD_FACT, "the id f is used twice"),
        (read_facts, ROW, "answers is missing"),
        (read_facts, "text", 'not an object but a string: "text"'),
    ],
)
def test_a_malformed_row_is_refused_with_its_line_and_an_example(
    reader: Callable[[Path, int, int], object], row: object, fault: str, tmp_path: Path
) -> None:
    path, good = tmp_path / "rows.jsonl", ROW if reader is read_choices else GOOD_FACT
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in (good, row)), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        reader(path, 9, 1)
    assert caught.value.message.startswith(f"{path}:2: {fault}")
    if row != "text":
        assert f'"{"label" if reader is read_choices else "answers"}": ' in caught.value.hint and caught.value.hint_ja


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("f.jsonl", "", ": there are no rows."),
        ("f.jsonl", '{"question": ', ":1: not JSON"),
        ("f.xml", "<questions>", ": not NIILC's XML (no element found: line 1, column 11)."),
        ("f.xml", "<rss></rss>", ": no question of NIILC's XML with an answer."),
        ("f.xml", XML.replace("N-2", "N-1"), ": the id N-1 is used twice."),
    ],
)
def test_a_file_without_facts_is_refused(name: str, text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_facts(tmp_path / name, 9, 1)
    assert caught.value.message.startswith(f"{tmp_path / name}{fault}")
    assert ("<answer>" in caught.value.hint) == name.endswith(".xml")
    for missing in ("none.jsonl", "none.xml"):
        with pytest.raises(InputError, match="none"):
            read_facts(tmp_path / missing, 9, 1)


@pytest.mark.parametrize("verb", ["run", "check", "evaluate"])
def test_malformed_choices_end_a_run_before_any_model_is_loaded(
    verb: str, tmp_path: Path, model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write_project(tmp_path, model_dir("llama"))
    (tmp_path / "c.jsonl").write_text(json.dumps(ROW | {"label": 5}) + "\n", encoding="utf-8")
    for module in ("training_stages", "exam_stage"):
        monkeypatch.setattr(f"ishibumi.{module}.load_model", pytest.fail)
    code, _, err = call(verb, settings, "--set", 'exam.choices=["c.jsonl"]')
    assert code == 1 and f"{tmp_path / 'c.jsonl'}:1: label is 5: " in err


def test_forms_are_told_apart() -> None:
    for reply in ("青", "青色。", "Blue.", " elephant", "月曜日です。"):
        assert is_one_word(reply), reply
    for reply in ("", "空の色は、青です。", "It is blue", "青\n赤", "とても長い説明になってしまった答えです"):
        assert not is_one_word(reply), reply
    for reply in (
        "りんご\nみかん\nもも",
        "- a\n- b\n- c",
        "果物です。\n1. りんご\n2. みかん\n3. もも",
        "・犬\n・猫\n・鳥\n",
    ):
        assert is_three(reply), reply
    for reply in ("", "りんご、みかん、もも", "- a\n- a\n- a", "1. a\n2. b", "a\nb\nc\nd"):
        assert not is_three(reply), reply
    assert len(PROMPTS) == 24 == len({text for _, text in PROMPTS}) and {form for form, _ in PROMPTS} == set(FORMS)


def test_what_was_lost_is_summed_up_with_intervals(tmp_path: Path) -> None:
    sides = {
        "before": {"choices": {"1": True, "2": True, "3": False}, "facts": {"a": True, "b": False}, "behaviour": {}},
        "after": {"choices": {"1": True, "2": False, "3": False}, "facts": {"a": False},
                  "behaviour": {"p": {"stops": True, "language": True, "form": False}}},
    }  # fmt: skip
    for side, rows in sides.items():
        artifacts.write_json(path_of(tmp_path, side), rows)
    found = summarise_skills(tmp_path)
    choices = found["choices"]
    assert (choices["n"], choices["before"], choices["after"]) == (3, 2 / 3, 1 / 3)
    assert choices["difference"]["mean"] == pytest.approx(-1 / 3) and choices["difference"]["high"] == 0
    assert found["facts"]["n"] == 1 and found["facts"]["after"]["mean"] == 0 < found["facts"]["after"]["high"]
    assert found["behaviour"] == {"n": 1, "stops": 1.0, "language": 1.0, "form": 0.0}
    rows = skill_rows(found)
    assert rows[0][:4] == ("skill_choices", 3, "67%", "33%") and rows[1][2:4] == ("100%", "0%") and len(rows) == 5


def test_a_run_asks_both_models_and_shows_it(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    path = write_project(tmp_path, model_dir("llama"))
    (tmp_path / "c.json").write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    (tmp_path / "n.xml").write_text(XML, encoding="utf-8")
    flags = ("--set", 'exam.choices=["c.json"]', "--set", 'exam.facts=["n.xml"]', "--set", 'exam.arms=["engraved"]')
    code, _, err = call("run", path, *flags, "--set", "sft.epochs=0")
    assert code == 0, err
    skills = artifacts.read_json(tmp_path / "run" / "report" / "summary.json")["skills"]
    assert skills["choices"]["n"] == 1 and "facts" not in skills and skills["behaviour"]["n"] == 24
    assert "Common sense, five choices" in err and "× " in err
    page = (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "常識問題（五択）" in page and "会話: 指定の形で答える" in page
    (tmp_path / "c.json").write_text("{}\n", encoding="utf-8")
    code, _, err = call("check", path, *flags)
    assert code == 1 and "c.json:1: q_id is missing." in err

"""The whole path on a tiny model: documents in, a report and a chat out, and nothing is made twice or sent anywhere."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ishibumi import artifacts, config
from ishibumi.cli import app
from ishibumi.corpus.read import load_documents
from ishibumi.exam.questions import read_questions
from ishibumi.knowledge.generator import items_of, make_items
from ishibumi.knowledge.items import OPEN, load_held_out, load_items
from ishibumi.training.checkpoint import checkpoints

STAGES = ["corpus", "knowledge", "cpt", "sft", "before", "exam", "report"]
NEWS = [
    ("a", "スペインが優勝\nスペインは7月19日の決勝でアルゼンチンを2―0で破った。トーレスが106分に得点。", "2026-07-19"),
    ("b", "日本が敗退\n日本は6月29日にヒューストンでブラジルに1―2で敗れた。佐野が29分に先制した。", "2026-06-29"),
    ("c", "Spain win\nSpain beat Argentina 2-0 in the final on July 19. Ferran Torres scored in the 106th minute.",
     "2026-07-19"),
]  # fmt: skip
QUESTIONS = [
    ("q1", "a", "ja", "大会の頂点に立った国は？", "スペイン"),
    ("q2", "b", "ja", "日本の先制点は誰が？", "佐野"),
    ("q3", "c", "en", "Name the man behind the goal in extra time.", "Ferran Torres"),
    ("q4", "z", "en", "What is asked about a document that is not here?", "nothing"),
]
SETTINGS = """
[model]
base = "{base}"
dtype = "float32"
device = "cpu"

[documents]
paths = ["news.jsonl"]

[knowledge]
views_per_document = 2
wordings_per_fact = 1

[replay]
paths = ["replay.txt"]

[chat]
sources = [{{ path = "chat.jsonl" }}]

[cpt]
rank = 4
epochs = 1
row_tokens = 256
tokens_per_step = 512
max_tokens = 2048

[sft]
rank = 4
row_tokens = 128
targets = ["q_proj", "v_proj"]

[exam]
questions = ["questions.jsonl"]
general = ["general.txt"]
shots = 1
max_new_tokens = 4
"""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """English messages, and an error for whoever connects to another machine or asks for its address."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            raise AssertionError(f"connects to {address}")
        real(self, address)

    def look_up(host: object, *_: object, **__: object) -> None:
        raise AssertionError(f"looks up {host}")

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"LC_ALL": "C.UTF-8", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket, "getaddrinfo", look_up)
        yield


def write_project(directory: Path, base: Path) -> Path:
    """A settings file with documents, questions, conversations and general text beside it."""
    rows = [{"id": i, "text": text, "date": date} for i, text, date in NEWS]
    questions = [dict(zip(("id", "document_id", "language", "question", "answer"), q, strict=True)) for q in QUESTIONS]
    chats = [{"instruction": f"{n}に1を足すと？", "output": f"{n + 1}です。"} for n in range(4)]
    for name, values in {"news": rows, "questions": questions, "chat": chats}.items():
        lines = (json.dumps(value, ensure_ascii=False) + "\n" for value in values)
        (directory / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (directory / "replay.txt").write_text("水は100度で沸く。\n\nA day has 24 hours.\n", encoding="utf-8")
    (directory / "general.txt").write_text("月は地球の衛星だ。\n\nThe moon is a satellite.\n", encoding="utf-8")
    path = directory / "ishibumi.toml"
    path.write_text(SETTINGS.format(base=base), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, model_dir: Callable[[str], Path]) -> Path:
    """The settings file of a run that has been done once; tests copy its directory before they change anything."""
    path = write_project(tmp_path_factory.mktemp("project"), model_dir("gemma3"))
    code, out, err = call("run", path)
    assert (code, out) == (0, f"{path.parent / 'run'}\n"), err
    return path


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, for a test of its own."""
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy" / "ishibumi.toml"


def call(*arguments: str | Path, typed: str | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    with alone():
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def made_and_kept(err: str) -> tuple[list[str], list[str]]:
    """The stages that a run made, and those that were unchanged."""
    done = [line.split() for line in err.splitlines() if line.startswith("✓")]
    return [w[1] for w in done if w[2] != "unchanged"], [w[1] for w in done if w[2] == "unchanged"]


def test_a_run_leaves_every_stage_and_a_report_with_the_questions(finished: Path) -> None:
    run_dir = finished.parent / "run"
    assert sorted(p.name for p in run_dir.iterdir()) == sorted([".lock", *STAGES])
    manifests = {stage: artifacts.load(run_dir / stage).manifest for stage in STAGES}
    assert manifests["corpus"]["documents"] == 3
    assert manifests["knowledge"]["view"] == 6 and manifests["knowledge"]["question"] > 3
    assert all(count > 0 for count in manifests["knowledge"]["refused"].values())
    assert manifests["cpt"]["texts"] | {"view": 0, "question": 0} == {
        "document": 3, "view": 0, "question": 0, "replay": 2, "chat": 4,
    }  # fmt: skip
    num_trained = sum(i.kind == "question" and i.rule != OPEN for i in load_items(run_dir / "knowledge"))
    assert manifests["exam"]["questions"] == {"held_out": 3, "training": min(64, num_trained)}
    assert manifests["exam"]["questions_about_other_documents"] == 1
    for stage in ("cpt", "sft"):
        history = artifacts.read_jsonl(run_dir / stage / "history.jsonl")
        assert [row["step"] for row in history] == list(range(1, manifests[stage]["steps"] + 1))
        assert (run_dir / stage / "adapter" / "adapter_model.safetensors").exists()
        assert all(row["moved"] > 0 for row in artifacts.read_json(run_dir / stage / "proof.json"))
        assert not list((run_dir / stage).glob("checkpoint*"))
    page = (run_dir / "report" / "report.html").read_text(encoding="utf-8")
    for question in read_questions([finished.parent / "questions.jsonl"])[:3]:
        assert question.question in page
    assert QUESTIONS[3][3] not in page
    summary = artifacts.read_json(run_dir / "report" / "summary.json")
    arms = summary["arms"]
    assert set(arms) == {"base", "engraved", "gold_passage", "retrieval", "engraved_retrieval"}
    assert {arm: set(of_arm["by_split"]) for arm, of_arm in arms.items()} == {
        arm: {"held_out", "training"} if arm in ("base", "engraved") else {"held_out"} for arm in arms
    }
    assert arms["engraved"]["all"]["n"] == 3 and arms["engraved"]["by_asked"].keys() <= {"asked", "document_only"}
    assert 0 <= arms["engraved"]["honesty"]["calibration_error"] <= 1
    assert set(summary["perplexity_ratio"]) == {"ja", "en"}


def test_every_item_is_kept_refused_or_left_out_and_counted(finished: Path) -> None:
    run = config.load(finished)
    documents = load_documents(run.run_dir / "corpus")
    chosen = {"views_per_document": 2, "wordings_per_fact": 1, "seed": 1}
    manifest = artifacts.load(run.run_dir / "knowledge").manifest
    per_document = [items_of(document, **chosen) for document in documents]
    num_made = sum(len(items) + counts.total() for items, counts in per_document)
    num_told = sum(manifest["refused"].values()) + manifest["left_out_as_exam_wording"]
    kept = load_items(run.run_dir / "knowledge")
    assert len(kept) == manifest["view"] + manifest["question"] == num_made - num_told
    assert set(kept) <= set(make_items(documents, **chosen))


def test_a_second_run_makes_nothing(project: Path, finished: Path) -> None:
    code, _, err = call("run", finished)
    assert (code, made_and_kept(err)) == (0, ([], STAGES))
    files = [p for p in (finished.parent / "run").rglob("*") if p.is_file() and p.name != ".lock"]
    before = {p: p.stat().st_mtime_ns for p in files}
    call("run", finished)
    assert all(p.stat().st_mtime_ns == time_ns for p, time_ns in before.items())


def test_a_changed_setting_remakes_what_depends_on_it_and_nothing_else(project: Path) -> None:
    code, _, err = call("run", project, "--set", "sft.learning_rate=2e-4")
    assert (code, made_and_kept(err)) == (0, (["sft", "exam", "report"], ["corpus", "knowledge", "cpt", "before"]))
    code, _, err = call("run", project, "--set", "sft.learning_rate=2e-4", "--set", "exam.shots=0")
    assert (code, made_and_kept(err)) == (0, (["before", "exam", "report"], ["corpus", "knowledge", "cpt", "sft"]))


def test_documents_after_train_until_are_asked_about_and_not_trained(project: Path) -> None:
    until = "documents.train_until=2026-07-01"
    assert call("sft", project, "--set", until, "--set", "sft.epochs=0")[0] == 0
    run_dir = project.parent / "run"
    assert {item.document_id for item in load_items(run_dir / "knowledge")} == {"b"}
    assert artifacts.load(run_dir / "cpt").manifest["texts"]["document"] == 1
    assert [d.id for d in load_documents(run_dir / "corpus")] == ["a", "b", "c"]
    lines = call("check", project, "--set", until)[1].splitlines()
    assert "documents that are trained: 1; after documents.train_until: 2" in lines
    assert "exam questions: 3; about other documents: 1" in lines


def test_without_chat_tuning_the_engraved_model_is_the_finished_one(project: Path) -> None:
    flags = ("--set", "sft.epochs=0", "--set", "sft.kept=1", "--set", "exam.general=[]", "--set", "exam.questions=[]")
    flags += ("--set", "exam.training_questions=0", "--set", "exam.generated_share=0")
    code, _, err = call("run", project, *flags)
    assert code == 0, err
    run_dir = project.parent / "run"
    cpt, sft = ((run_dir / stage / "model" / "model.safetensors").read_bytes() for stage in ("cpt", "sft"))
    assert cpt == sft
    assert artifacts.read_json(run_dir / "report" / "summary.json")["arms"] == {}


def test_without_an_exam_some_generated_wordings_are_kept_for_one(project: Path) -> None:
    """Two texts of one shape are kept from training and asked; the page says that this flatters."""
    flags = ("--set", "exam.questions=[]", "--set", "exam.generated_share=0.2", "--set", "exam.max_new_tokens=2")
    code, _, err = call("run", project, *flags)
    assert code == 0, err
    knowledge = project.parent / "run" / "knowledge"
    held, trained = load_held_out(knowledge), load_items(knowledge)
    assert held and not {(i.rule, i.text) for i in held} & {(i.rule, i.text) for i in trained}
    assert not any(question.text in item.text for question in held for item in trained)
    manifest = artifacts.load(knowledge).manifest
    assert manifest["kept_for_exam"] >= len(held) and manifest["question"] + len(held) <= 50
    arms = artifacts.read_json(project.parent / "run" / "report" / "summary.json")["arms"]
    assert arms["engraved"]["split"] == "generated" and arms["engraved"]["all"]["n"] == len(held)
    page = (project.parent / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "the figure flatters" in page and held[0].text.split()[0] in page


def test_a_run_whose_texts_hold_the_exams_wording_stops_before_it_trains(project: Path) -> None:
    talk = [("user", f"では、{QUESTIONS[0][3]}"), ("assistant", "スペインです。")]
    leak = {"id": "talk", "messages": [{"role": role, "content": content} for role, content in talk]}
    with (project.parent / "chat.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(leak, ensure_ascii=False) + "\n")
    for name in ("replay.txt", "news.jsonl"):
        path = project.parent / name
        text = path.read_text(encoding="utf-8")
        added = f"\nQ: {QUESTIONS[2][3]}\n"
        if name == "news.jsonl":
            added = json.dumps({"id": "d", "text": f"FAQ\n{QUESTIONS[2][3]} Torres.", "date": "2026-07-20"}) + "\n"
        path.write_text(text + added, encoding="utf-8")
    words = "name the man behind the goal in extra time"
    for verb in ("check", "run"):
        code, out, err = call(verb, project)
        assert (code, out) == (2, ""), err
        assert f'news.jsonl:4 (document d) and question q3: "{words}"' in err
        assert f'replay.txt (text 3) and question q3: "{words}' not in err  # eight tokens are enough there
        assert 'replay.txt (text 3) and question q3: "name the man behind the goal in extra"' in err
        assert "conversation talk and question q1" in err and "What to do: Reword these questions" in err
    assert made_and_kept(err)[0] == ["corpus", "knowledge"]


def test_check_says_what_would_be_done_and_makes_nothing(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    path = write_project(tmp_path, model_dir("gemma3"))
    code, out, _ = call("check", path)
    assert code == 0
    lines = out.splitlines()
    assert "documents: 3; left out: none" in lines
    assert "exam questions: 3; about other documents: 1" in lines
    assert f"base model: {model_dir('gemma3')}" in lines
    assert "cpt.rank = 4  (file)" in lines and "sft.alpha = 32.0  (recipe mixed)" in lines
    out = call("check", path, "--set", "documents.since=2026-07-01")[1]
    assert f"\nleft out: before_since: 1 (such as {path.with_name('news.jsonl')}:2: 日本は6月29日に" in out
    assert not (tmp_path / "run").exists()


def test_show_prints_a_document_with_what_was_made_from_it(finished: Path) -> None:
    code, out, _ = call("show", finished, "a")
    assert code == 0
    for part in ("--- raw", "--- cleaned", "--- prefixed\n2026年7月19日のニュース:スペインは", "--- items\na:"):
        assert part in out
    found = re.search(r"^(a:[0-9a-f]{8})  \[(\w+)\] (.+) → (\S+)$", out, re.MULTILINE)
    assert found
    code, out, _ = call("show", finished, found[1])
    assert code == 0
    assert out.startswith(f"{found[1]}  question  {found[2]}\n{found[3]}\n→ {found[4]}\n\na  2026-07-19  ja  ")
    assert "--- cleaned\nスペインは" in out and "--- items" not in out
    assert call("show", finished, found[1], "--part", "cleaned")[1].endswith(
        "\n\n" + call("show", finished, "a", "--part", "cleaned")[1]
    )
    assert call("show", finished, "a:00000000")[0] == 2


def test_a_local_model_writes_beside_the_rules_and_its_items_are_shown(
    project: Path, model_dir: Callable[[str], Path]
) -> None:
    both = ("--set", 'knowledge.generator=["rules", "model"]', "--set", "knowledge.model.max_new_tokens=16")
    flags = (*both, "--set", 'knowledge.prompts=["questions", "timeline"]', "--set", "knowledge.model.prompt=chat")
    # What a tiny random model replies is nothing to keep, so one reply is put where an earlier run would have left it.
    code, _, err = call("run", project, *flags, "--set", "model.template=ja")
    assert code == 0, err
    first = artifacts.load(project.parent / "run" / "knowledge").manifest
    assert set(first["written"]) == {"model:questions", "model:timeline"}
    replies = project.parent / "generated" / "replies.jsonl"
    keys = [json.loads(line)["key"] for line in replies.read_text(encoding="utf-8").splitlines()]
    assert len(keys) == 6
    reply = {"text": "Q: 勝者は？ | A: スペイン", "stopped": True, "num_tokens": 9}
    replies.write_text("".join(json.dumps({"key": key} | reply) + "\n" for key in keys), encoding="utf-8")
    shutil.rmtree(project.parent / "run" / "knowledge")
    code, _, err = call("cpt", project, *flags, "--set", "model.template=ja")
    assert code == 0 and re.search(r"✓ knowledge .*, refused \d+ \(.*answer not in the document", err)
    items = [item for item in load_items(project.parent / "run" / "knowledge") if item.rule == "model:questions"]
    assert [(item.document_id, item.answer) for item in items] == [("a", "スペイン")]
    assert f"{items[0].id}  [model:questions] 勝者は？ → スペイン" in call("show", project, "a", "--part", "items")[1]
    page = (project.parent / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "model:timeline" in page


def test_a_generator_that_cannot_work_is_refused_before_it_begins(
    tmp_path: Path, model_dir: Callable[[str], Path]
) -> None:
    path = write_project(tmp_path, model_dir("gemma3"))
    for verb in ("check", "run"):
        code, _, err = call(verb, path, "--set", "knowledge.generator=endpoint")
        assert code == 2 and "knowledge.endpoint.url and knowledge.endpoint.model is not set" in err
    code, _, err = call("check", path, "--set", "knowledge.generator=model", "--set", "knowledge.model.base=no/such")
    assert code == 1 and "No base model «no/such»" in err


def test_chat_answers_the_lines_that_are_typed(finished: Path) -> None:
    code, out, err = call("chat", finished, typed="優勝は？\n\n/new\n優勝は？\nもう一度\n/quit\nnot read\n")
    assert code == 0
    assert err.startswith("質問をどうぞ。")
    assert out.endswith("\n") and len(out.split("\n")) >= 4
    again = call("chat", finished, typed="優勝は？\n")[1]
    assert again.startswith(out[: len(again) - 1])  # greedy, and /new forgets: the first reply is the same
    assert out.count(again.rstrip("\n")) >= 2 or not again.strip()


def test_chat_before_the_run_is_finished_says_what_to_do(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    path = write_project(tmp_path, model_dir("gemma3"))
    code, out, err = call("chat", path, typed="a\n")
    assert (code, out) == (1, "")
    assert f"{tmp_path / 'run' / 'sft'} is not a finished stage" in err


def test_a_run_that_was_stopped_in_training_goes_on_to_the_same_weights(
    tmp_path: Path, model_dir: Callable[[str], Path]
) -> None:
    path = write_project(tmp_path, model_dir("llama"))
    longer = ("--set", "cpt.epochs=20", "--set", "cpt.max_tokens=20_000", "--set", "sft.epochs=0")
    command = [sys.executable, "-m", "ishibumi", "run", str(path), *longer]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert next(process.stderr).startswith("▶ corpus")
        assert call("run", path)[::2] == (
            1,
            f"ishibumi: {tmp_path / 'run'} is in use by process {process.pid}.\n"
            "What to do: Wait for it, stop it, or give this run another run_dir.\n",
        )
        assert any(line.startswith("▶ cpt") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(60) == 130, said
    stopped = re.search(r"Stopped after step (\d+) of (\d+)\.\nWhat to do: The same command goes on from here\.", said)
    assert stopped and int(stopped[1]) < int(stopped[2])
    assert checkpoints(tmp_path / "run" / "cpt.partial")
    assert not (tmp_path / "run" / "cpt").exists()

    code, _, err = call("run", path, *longer)
    assert (code, made_and_kept(err)) == (0, (["cpt", "sft", "before", "exam", "report"], ["corpus", "knowledge"]))
    history = artifacts.read_jsonl(tmp_path / "run" / "cpt" / "history.jsonl")
    assert [row["step"] for row in history] == list(range(1, int(stopped[2]) + 1))
    assert call("cpt", path, *longer, "--run-dir", tmp_path / "whole")[0] == 0
    weights = [(tmp_path / d / "cpt" / "adapter" / "adapter_model.safetensors").read_bytes() for d in ("run", "whole")]
    assert weights[0] == weights[1]


def test_a_connection_to_another_machine_would_have_been_seen() -> None:
    with alone():
        with pytest.raises(AssertionError, match="looks up"):
            socket.create_connection(("192.0.2.1", 80), timeout=1)
        with socket.socket() as open_socket, pytest.raises(AssertionError, match="connects to"):
            open_socket.connect(("192.0.2.1", 80))

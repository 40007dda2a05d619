"""The corpus in parts: the same bytes from one process, several, shards and a run that was killed. Near duplicates."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ishibumi import config
from ishibumi.cli import app
from ishibumi.corpus import parts
from ishibumi.corpus.near_duplicates import near_duplicates, sketches
from ishibumi.corpus.personal import is_my_number
from ishibumi.corpus.read import read_documents, write_corpus
from ishibumi.corpus_stage import build_corpus
from ishibumi.errors import InputError
from ishibumi.settings import DocumentSettings

SETTINGS = DocumentSettings(min_characters=5, on_bad="skip", near_duplicates=0.5, max_characters=120)
WORDS = [
    "南町",
    "図書館",
    "市長",
    "予算",
    "選手",
    "決勝",
    "会議",
    "発表",
    "計画",
    "道路",
    "駅前",
    "公園",
    "台風",
    "大学",
]


def text(seed: int, num_words: int = 60) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(WORDS) + draw.choice("はがをにでとのも") for _ in range(num_words)) + f"第{seed}回。"


def edited(original: str, share: float, seed: int) -> str:
    letters, draw = list(original), random.Random(seed)
    for start in draw.sample(range(0, len(letters), 4), round(share * len(letters) / 4)):
        letters[start : start + 4] = draw.choices("新旧東西上下左右", k=len(letters[start : start + 4]))
    return "".join(letters)


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps({"date": "2024-09-01", **row}, ensure_ascii=False) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six files, 2 to 5 before those in folders: fresh texts, repeats, edited ones, ids that clash, bad rows."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n % 2}").mkdir(exist_ok=True)
        rows: list[dict[str, Any]] = [{"text": text(100 * ((n + 4) % 6) + i)} for i in range(8)]
        rows += [{"text": text(0)}, {"text": edited(text(1), 0.1, n)}]
        rows += [{"id": "same", "text": text(900 + n)}, {"text": 5}]
        write(folder / f"{n % 2}" / "a.jsonl" if n < 2 else folder / f"{n}.jsonl", *rows)
    return folder


def corpus_bytes(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != "manifest.json"}


def small_blocks(monkeypatch: pytest.MonkeyPatch, num_processors: int) -> None:
    monkeypatch.setattr(parts, "BLOCK_BYTES", 1)  # each file is a block
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(num_processors)))


def test_blocks_or_none_processes_or_none_give_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(name: str) -> dict[str, bytes]:
        (tmp_path / name).mkdir()
        write_corpus([folder], SETTINGS, tmp_path / name)
        return corpus_bytes(tmp_path / name)

    whole = made("whole")
    small_blocks(monkeypatch, 1)
    assert made("alone") == whole
    report = json.loads(whole["report.json"])
    assert {rule: told["count"] for rule, told in report.items()} == {"duplicate": 6, "near_duplicate": 6, "bad": 6 + 5}
    assert report["near_duplicate"]["examples"][0].startswith(f"{folder}/2.jsonl:10 is ")
    assert report["near_duplicate"]["examples"][0].endswith(f"like {folder}/2.jsonl:2")
    lines = [json.loads(line) for line in whole["documents.jsonl"].splitlines()]
    ids = [line["id"] for line in lines]
    assert len(set(ids)) == len(ids)
    assert ids[:4] == ["2-1", "2-1#2", "2-2", "2-2#2"]


def test_files_of_one_name_in_two_folders_get_other_ids(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text(ord(name)), encoding="utf-8")
    paths = [tmp_path / "x" / "a.txt", tmp_path / "y" / "a.txt"]
    settings = SETTINGS.model_copy(update={"prefix_share": 0.0})
    assert [d.id for d in read_documents(paths, settings).documents] == ["a", "a#2", "a~2", "a~2#2"]


def run_settings(folder: Path, run_dir: Path) -> Path:
    path = folder.parent / "ishibumi.toml"
    path.write_text(f'run_dir = "{run_dir}"\n[documents]\npaths = ["in"]\non_bad = "skip"\nnear_duplicates = 0.5\n')
    return path


def test_shards_in_any_order_are_joined_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch, 1)
    build_corpus(config.load(run_settings(folder, tmp_path / "one")))
    settings = run_settings(folder, tmp_path / "two")
    for shard in ("3/3", "1/3"):
        result = CliRunner().invoke(app, ["corpus", str(settings), "--shard", shard])
        assert result.exit_code == 0
    parts_dir = Path(result.stdout.strip())
    assert sorted(path.name for path in parts_dir.glob("*.json")) == [f"0000{n}.json" for n in (0, 2, 3, 5)]
    build_corpus(config.load(settings))
    assert corpus_bytes(tmp_path / "two" / "corpus") == corpus_bytes(tmp_path / "one" / "corpus")
    assert not parts_dir.exists()
    for wrong in ("0/3", "4/3", "x", "1/"):
        result = CliRunner().invoke(app, ["corpus", str(settings), "--shard", wrong])
        assert (result.exit_code, "is no share of the work" in result.stderr) == (2, True)


WORK = """
import sys
from pathlib import Path
from ishibumi.corpus import parts
from ishibumi.corpus.read import write_corpus
from ishibumi.settings import DocumentSettings
source, out = map(Path, sys.argv[1:])
parts.BLOCK_BYTES = 1
out.mkdir(parents=True, exist_ok=True)
write_corpus([source], DocumentSettings(on_bad="skip", near_duplicates=0.5), out, out.parent / "parts")
"""


def test_a_run_that_is_killed_goes_on_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for n in range(6, 30):
        write(folder / f"{n}.jsonl", *({"text": text(1000 * n + i)} for i in range(100)))
    command = [sys.executable, "-c", WORK, str(folder)]
    subprocess.run([*command, str(tmp_path / "one" / "corpus")], check=True)
    process, marks = subprocess.Popen([*command, str(tmp_path / "two" / "corpus")]), list[Path]()
    while not marks and process.poll() is None:
        marks = list((tmp_path / "two" / "parts").glob("*.json"))
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list((tmp_path / "two" / "corpus").iterdir()) == []
    changed = marks[0].stat().st_mtime_ns
    subprocess.run([*command, str(tmp_path / "two" / "corpus")], check=True)
    assert marks[0].stat().st_mtime_ns == changed
    assert corpus_bytes(tmp_path / "two" / "corpus") == corpus_bytes(tmp_path / "one" / "corpus")


def test_helpers_leave_an_error_to_the_process_that_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch, 2)
    settings = SETTINGS.model_copy(update={"on_bad": "stop"})
    with pytest.raises(InputError) as caught:
        write_corpus([folder], settings, tmp_path / "out", tmp_path / "parts")
    assert caught.value.message == f"{folder}/2.jsonl:12: text is a number, not a text: 5"


def test_sketches_tell_how_alike_two_texts_are() -> None:
    for share, alike in ((0.0, 1.0), (0.1, 0.65), (0.3, 0.3)):
        pairs = [(text(n, 200), edited(text(n, 200), share, n)) for n in range(20)]
        rows = sketches([one for pair in pairs for one in pair])
        found = (rows[::2] == rows[1::2]).mean()
        exact = np.mean([len(_pieces(a) & _pieces(b)) / len(_pieces(a) | _pieces(b)) for a, b in pairs])
        assert abs(found - exact) < 0.02
        assert abs(exact - alike) < 0.08


def _pieces(text: str) -> set[str]:
    return {text[i : i + 5] for i in range(len(text) - 4)}


def test_edited_texts_are_found_and_others_are_not() -> None:
    texts = [text(n, 150) for n in range(400)]
    rows = sketches([*texts, *(edited(t, 0.05 + 0.15 * n / 400, n) for n, t in enumerate(texts))])
    found = near_duplicates(rows, 0.35)
    assert {late: early for late, (early, _) in found.items() if late - 400 != early} == {}
    assert len(found) >= 0.97 * 400


def test_what_is_like_a_removed_text_only_stays() -> None:
    first = text(1, 150)
    second = edited(first, 0.12, 1)
    third = edited(second, 0.12, 2)
    rows = sketches([first, second, third])
    assert [(rows[a] == rows[b]).mean() >= 0.45 for a, b in ((0, 1), (1, 2), (0, 2))] == [True, True, False]
    assert list(near_duplicates(rows, 0.45)) == [1]


def test_a_thousand_copies_leave_the_first() -> None:
    texts = [edited(text(1, 150), 0.02, n) for n in range(1000)]
    assert sorted(near_duplicates(sketches(texts), 0.6)) == list(range(1, 1000))


def test_texts_shorter_than_a_piece_are_like_themselves_only() -> None:
    texts = ["東京", "大阪", "a", "", "東京都庁", "短い文です", "大阪", ""]
    assert near_duplicates(sketches(texts), 0.5) == {6: (1, 1.0), 7: (3, 1.0)}
    assert near_duplicates(sketches(["ab", "cd"]), 0.5) == {} and len(sketches([])) == 0


def test_other_languages_leave_by_their_share_of_letters(tmp_path: Path) -> None:
    rows = ["図書館が開館したと市長が述べた。", "The library opened, the mayor said."]
    rows += ["图书馆今日在南町正式开馆市长出席。", "도서관이 오늘 문을 열었다고 했다.", "Библиотека открылась сегодня."]
    write(tmp_path / "a.jsonl", *({"text": row} for row in rows))
    settings = DocumentSettings(min_characters=5, min_language_share=0.5)
    corpus = read_documents([tmp_path / "a.jsonl"], settings)
    assert [d.text for d in corpus.documents] == rows[:2]
    assert corpus.report["other_language"]["count"] == 3


def test_personal_data_is_masked_on_request_and_counted(tmp_path: Path) -> None:
    written = (
        "担当は山田、電話 03-1234-5678、携帯 ０９０－１２３４－５６７８、(075)123-4567、+81 3-1234-5678、09012345678、"
        "メール taro.yamada+x@mail.example.co.jp まで。番号 1234 5678 9018、違う番号 1234 5678 9012。"
        "2024-09-01、10,000円、1234567890123、user@localhost は残る。"
    )
    write(tmp_path / "a.jsonl", {"text": written})
    paths, plain = [tmp_path / "a.jsonl"], DocumentSettings(min_characters=5)
    assert "03-1234-5678" in read_documents(paths, plain).documents[0].text
    corpus = read_documents(paths, plain.model_copy(update={"mask": ["mail", "phone", "my_number"]}))
    assert corpus.documents[0].text == (
        "担当は山田、電話 〔phone〕、携帯 〔phone〕、〔phone〕、〔phone〕、〔phone〕、"
        "メール 〔mail〕 まで。番号 〔my number〕、違う番号 1234 5678 9012。"
        "2024-09-01、10,000円、1234567890123、user@localhost は残る。"
    )
    counts = {rule: told["count"] for rule, told in corpus.changes.items() if rule.startswith("masked")}
    assert counts == {"masked_phone": 5, "masked_mail": 1, "masked_my_number": 1}
    assert "03-1234" not in str(corpus.changes) and "yamada" not in str(corpus.changes["masked_mail"])


@pytest.mark.parametrize(
    ("digits", "is_one"), [("123456789018", True), ("123456789012", False), ("000000000000", True)]
)
def test_the_check_digit_of_a_my_number(digits: str, is_one: bool) -> None:
    assert is_my_number(digits) == is_one

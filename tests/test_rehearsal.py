"""The base's own texts: drawn once, the same ones when a run goes on, begun as the user's texts are."""

from pathlib import Path

import pytest
import tiny

from ishibumi.artifacts import read_jsonl
from ishibumi.errors import Stopped
from ishibumi.models.load import LoadedModel
from ishibumi.training import rehearsal
from ishibumi.training.rehearsal import rehearsal_texts

BEGINNINGS = ["abcdefgh", "ABCDEFGH"]


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    """A tiny model with random weights."""
    tiny.network("llama").save_pretrained(tmp_path / "base")
    tiny.byte_tokenizer().save_pretrained(tmp_path / "base")
    return tiny.load(tmp_path / "base")


def drawn(model: LoadedModel, directory: Path, *, seed: int = 1, count: int = 6) -> list[str]:
    directory.mkdir(exist_ok=True)
    return rehearsal_texts(model, BEGINNINGS, directory, count=count, seed=seed, on_text=lambda *_: None)


def test_texts_begin_as_the_given_ones_and_a_seed_decides_the_rest(model: LoadedModel, tmp_path: Path) -> None:
    texts = drawn(model, tmp_path / "a")
    assert [t[:3] for t in texts] == ["abc", "ABC"] * 3
    assert [t[3:4] for t in texts[2:4]] == ["d", "D"]  # the second round begins with a token more
    assert len(set(texts)) == 6
    assert drawn(model, tmp_path / "b") == texts
    assert drawn(model, tmp_path / "c", seed=2) != texts


def test_a_run_that_goes_on_takes_the_texts_that_are_there(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = drawn(model, tmp_path / "a")
    monkeypatch.setattr(rehearsal, "generate_replies", None)  # called again, it would fail
    assert drawn(model, tmp_path / "a") == texts
    assert [row["text"] for row in read_jsonl(tmp_path / "a" / rehearsal.NAME)] == texts


def test_a_stop_keeps_whole_batches_and_the_rest_comes_out_the_same(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drawn(model, tmp_path / "a")
    (tmp_path / "b").mkdir()

    def stop(done: int, count: int) -> None:
        assert (done, count) == (4, 6)
        raise Stopped("Stopped.")

    with pytest.raises(Stopped):
        rehearsal_texts(model, BEGINNINGS, tmp_path / "b", count=6, seed=1, on_text=stop, batch_size=4)
    assert [row["text"] for row in read_jsonl(tmp_path / "b" / rehearsal.NAME)] == whole[:4]
    assert drawn(model, tmp_path / "b") == whole


def test_without_beginnings_the_base_writes_from_nothing(model: LoadedModel, tmp_path: Path) -> None:
    texts = rehearsal_texts(model, [], tmp_path, count=3, seed=1, on_text=lambda *_: None)
    assert len(texts) == 3 and len(set(texts)) == 3

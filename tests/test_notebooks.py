"""The notebooks' own cells, run from top to bottom on a CPU with a tiny model in place of the large one."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_tokenizers
from test_pipeline import alone

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def cells(name: str, kind: str) -> list[str]:
    notebook: dict[str, Any] = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_both_languages_have_the_same_cells_and_no_output() -> None:
    japanese, english = (json.loads((NOTEBOOKS / n).read_text("utf-8")) for n in ("colab.ipynb", "colab.en.ipynb"))
    assert cells("colab.ipynb", "code") == cells("colab.en.ipynb", "code")
    assert [c["cell_type"] for c in japanese["cells"]] == [c["cell_type"] for c in english["cells"]]
    assert all(not c["outputs"] and c["execution_count"] is None for c in japanese["cells"] if "outputs" in c)


def test_from_upload_to_chat_and_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = tiny_tokenizers.unigram()
    tiny.network("llama", vocabulary=len(tokenizer), eos_token_id=2).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISHIBUMI_BASE", str(tmp_path / "base"))
    names: dict[str, Any] = {}
    with alone():
        for number, source in enumerate(cells("colab.ipynb", "code"), start=1):
            exec(compile(source, f"cell {number}", "exec"), names)
    out = capsys.readouterr().out
    assert "documents: 3; left out: none" in out and "engraved: " in out and "logits_in_peft_against_merged" in out
    assert (tmp_path / "run" / "report" / "report.html").exists()
    assert isinstance(names["ask"]("青葉橋の長さは？"), str)
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir())[:2] == ["README.md", "adapter_config.json"]

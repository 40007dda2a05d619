"""The finished model for other programs. run → OUT/, proved equal to the model that sat the exam.

    adapter   the LoRA pairs of both stages as one, for PEFT on the base model
    merged    the whole model, for transformers and vLLM
    gguf      one file for llama.cpp and Ollama, with a Modelfile

OUT is whole or absent: everything is written to OUT.partial, read again, compared, and only then renamed.
"""

import hashlib
import importlib.util
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig

from ishibumi import artifacts
from ishibumi.artifacts import Artifact
from ishibumi.config import Run
from ishibumi.corpus.read import load_documents
from ishibumi.errors import UsageError
from ishibumi.knowledge.items import load_items
from ishibumi.models.load import LoadedModel, load_finished, load_untrained, number_format
from ishibumi.use import export_proof as proof
from ishibumi.use.export_adapter import attach_learned, merge_learned, read_learned, save_for_peft
from ishibumi.use.gguf_modelfile import modelfile
from ishibumi.use.gguf_read import llama_cpp
from ishibumi.use.gguf_write import Quantization, architecture, write_gguf
from ishibumi.use.model_card import Licences, model_card

Format = Literal["adapter", "merged", "gguf"]
VERSION = 1  # raise it when exports of the same run become different
NUM_COMPARED = 12  # texts whose logits are compared
IN_FP32 = {"dtype": "float32", "device": "cpu"}
LIMIT = {"float32": proof.LOGIT_LIMIT, "bfloat16": proof.ROUNDED_LIMIT}
LICENCES = Licences()


def export(
    run: Run, form: Format, out: Path, *, quantization: Quantization | None = None, licences: Licences = LICENCES
) -> Artifact:
    """The finished export at `out`, in bf16 unless told otherwise; made only if it is not there yet.

    A merged model "in bf16" is the one that sat the exam, as it is: in fp32 where the run computed in fp32.

    Raises ArtifactError before the run is finished, UsageError for a model that cannot be exported, for a missing
    package and for a directory with something else in it, ModelError where what was written is not the finished model.
    """
    finished = artifacts.load(run.run_dir / "sft")
    _refuse_other(out)
    _refuse_missing(form)
    if form == "adapter" and quantization:
        raise UsageError(
            f"An adapter is written as it was trained, not in {quantization}.",
            hint="Leave --quantization out, or use --format merged or gguf.",
            hint_ja="--quantization を外すか、--format merged か gguf を使ってください。",
        )
    quantization = quantization or "bf16"
    if form == "merged" and quantization not in ("f32", "bf16"):
        raise UsageError(
            f"A merged model cannot be {quantization}.",
            hint="Use --quantization bf16 or f32, or --format gguf.",
            hint_ja="--quantization bf16 か f32、または --format gguf を使ってください。",
        )
    config = AutoConfig.from_pretrained(finished.path / "model", local_files_only=True)
    architecture(config)
    strings = proof.sample_strings([document.text for document in load_documents(run.run_dir / "corpus")])
    some = strings[:: len(strings) // NUM_COMPARED]
    kind = form if form == "adapter" else f"{form}, {quantization}"
    told = "merged, f32" if form == "merged" and config.dtype == torch.float32 else kind

    def work(directory: Path) -> dict[str, Any]:
        model = _in_fp32(run)
        if form == "adapter":
            proved = _write_adapter(run, model, some, directory)
        elif form == "merged":
            proved = _write_merged(run, model, some, quantization, directory)
        else:
            proved = _write_gguf(run, model, strings, quantization, directory)
        artifacts.write_text(directory / "README.md", model_card(run, told, proved, licences))
        return {"format": kind, "proof": proved, "files": sha256_of(directory)}

    report = run.run_dir / "report" / artifacts.MANIFEST  # the card tells what it measured
    parts = (kind, licences.base, licences.data, run.settings.sft.kept, finished.fingerprint)
    wanted = artifacts.fingerprint(VERSION, *parts, *([report] if report.exists() else []))
    return artifacts.build(out, wanted, work)


def sha256_of(directory: Path) -> dict[str, str]:
    """File below the directory → its hash. The directory's own manifest, which comes last, is left out."""
    found: dict[str, str] = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            found[path.relative_to(directory).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return {name: digest for name, digest in found.items() if name not in ("fingerprint", artifacts.MANIFEST)}


def _in_fp32(run: Run) -> LoadedModel:
    """The model that sat the exam, to compare with."""
    return load_finished(run.settings.model.model_copy(update=IN_FP32), run.run_dir)


def _base(run: Run) -> Any:
    """What the finished model has grown from, fresh."""
    return load_untrained(run.settings.model.model_copy(update=IN_FP32), run.base_dir).network


def _write_adapter(run: Run, model: LoadedModel, texts: Sequence[str], directory: Path) -> dict[str, Any]:
    """Write the adapter, load it with PEFT onto the base, and compare it with the same pairs merged by us."""
    from peft import PeftModel

    learned = read_learned(run)
    save_for_peft(learned, directory, run.settings.model.grown_from)
    model.tokenizer.save_pretrained(directory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT 0.21 asks transformers for an old name
        in_peft = PeftModel.from_pretrained(_base(run), directory).eval()
    theirs = proof.logits_of(in_peft, model, texts)
    base = _base(run)
    attach_learned(base, learned)
    merge_learned(base)
    away = proof.difference(theirs, proof.logits_of(base, model, texts))
    return {
        "logits_in_peft_against_merged": proof.must_be_within("the adapter in PEFT", away, proof.LOGIT_LIMIT),
        "logits_in_peft_against_exam_model": _against_finished(run, theirs, model, texts),
    }


def _write_merged(
    run: Run, model: LoadedModel, texts: Sequence[str], quantization: Quantization, directory: Path
) -> dict[str, Any]:
    """The model as it sat the exam (bf16, or whatever it computed in), or the base and what was learned in fp32 (f32).

    A run in bf16 rounds its weights after each stage, so that these two differ by what rounding does.
    """
    base = _base(run)
    attach_learned(base, read_learned(run))
    with_adapter = proof.logits_of(base, model, texts)
    merge_learned(base)
    merged = proof.difference(proof.logits_of(base, model, texts), with_adapter)
    shutil.copytree(run.run_dir / "sft" / "model", directory, dirs_exist_ok=True)
    if quantization == "f32":
        base.save_pretrained(directory)
    is_tied = bool(base.config.tie_word_embeddings)
    written = proof.logits_of(proof.reload_plain(directory, is_tied), model, texts)
    finished = proof.logits_of(model.network, model, texts)
    limit = LIMIT[number_format(run.settings.model) if quantization == "bf16" else "float32"]
    return {
        "logits_merged_against_adapter": proof.must_be_within("the merged model", merged, proof.LOGIT_LIMIT),
        "logits_of_files_against_adapter": proof.must_be_within(
            "the reloaded model", proof.difference(written, with_adapter), limit
        ),
        "logits_of_files_against_exam_model": proof.must_be_within(
            "the reloaded model",
            proof.difference(written, finished),
            0.0 if quantization == "bf16" else LIMIT[number_format(run.settings.model)],
        ),
        "tied": is_tied,
    }


def _against_finished(run: Run, logits: torch.Tensor, model: LoadedModel, texts: Sequence[str]) -> float:
    away = proof.difference(logits, proof.logits_of(model.network, model, texts))
    return proof.must_be_within("base with adapter", away, LIMIT[number_format(run.settings.model)])


def _write_gguf(
    run: Run, model: LoadedModel, strings: Sequence[str], quantization: Quantization, directory: Path
) -> dict[str, Any]:
    name = f"model-{quantization}.gguf"
    finished, base = run.run_dir / "sft" / "model", Path(run.settings.model.base).name
    write_gguf(finished, model.tokenizer, model.format.end_id, quantization, directory / name, f"{base} engraved")
    artifacts.write_text(directory / "Modelfile", modelfile(model.format, name))
    questions = [item.text for item in load_items(run.run_dir / "knowledge") if item.kind == "question"]
    asked = [*questions[:: max(1, len(questions) // proof.NUM_REPLIES)], *proof.HARD][: proof.NUM_REPLIES]
    return proof.prove_gguf(directory / name, model, quantization, strings, asked)


def _refuse_other(out: Path) -> None:
    """Refuse a directory that holds something else than an export: it would be replaced."""
    manifest = artifacts.load(out).manifest if (out / artifacts.MANIFEST).exists() else {}
    if out.exists() and not (out.is_dir() and ("files" in manifest or not any(out.iterdir()))):
        raise UsageError(
            f"{out} is there already and is not an export.",
            hint="Name a directory that does not exist yet.",
            hint_ja="まだ存在しないディレクトリを指定してください。",
        )


def _refuse_missing(form: Format) -> None:
    if form == "gguf":
        llama_cpp()
    if form == "adapter" and not importlib.util.find_spec("peft"):
        raise UsageError(
            "The adapter is proved by loading it with PEFT, which is not installed.",
            hint="pip install 'ishibumi[peft]'",
            hint_ja="pip install 'ishibumi[peft]' を実行してください。",
        )

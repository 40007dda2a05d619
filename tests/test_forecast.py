"""What `check` foretells is what training takes: memory measured by the allocator's own record and by the system."""

import gc
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import test_pipeline
import tiny
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from ishibumi.errors import UsageError
from ishibumi.models.load import LoadedModel, empty_network, read_config
from ishibumi.settings import CptSettings, Settings
from ishibumi.training.adapters import attach
from ishibumi.training.compiled import prepared
from ishibumi.training.fitting import (
    GPU_SHARE,
    available_bytes,
    exam_bytes,
    forecast_lines,
    stage_forecast,
    usable_bytes,
)
from ishibumi.training.flops import GPU_PEAKS, flops_in_8_bits, flops_per_token, peak_flops
from ishibumi.training.forecast import Forecast, forecast
from ishibumi.training.precision import frozen_in
from ishibumi.training.trainer import train

HERE = Path(__file__).parent
WITHIN = 0.15
ALL = [*tiny.LINEAR, "embed_tokens", "lm_head"]


def chosen(**values: Any) -> CptSettings:
    """Settings of four rows a step, and three steps."""
    return tiny.settings(**({"row_tokens": 64, "tokens_per_step": 256, "epochs": 3, "compile": "never"} | values))


def foretold(config: Any, dtype: str, settings: CptSettings) -> Forecast:
    make = partial(empty_network, config, dtype, "cpu")
    return forecast(make, config.num_hidden_layers, settings, is_gpu=False)


def train_full_rows(make: Callable[[], LoadedModel], settings: CptSettings, where: Path) -> None:
    """Train a model that is made here on rows without a gap."""
    plan = tiny.plan_of([tiny.example("a" * (settings.row_tokens - 2)) for _ in range(4)], where, settings)
    model = make()
    trainables = attach(model.network, settings, 1)
    with prepared(model, trainables, plan, settings):
        train(model.network, trainables, plan, settings, where)


def allocated(work: Callable[[], None]) -> int:
    """The most bytes that PyTorch's allocator had given out at once, by its own record."""
    for dtype in (torch.float32, torch.bfloat16):
        peak_flops(torch.device("cpu"), dtype)  # asked once a process, with matrices larger than these networks
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    found = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    now = peak = 0
    event: Any
    for event in sorted(found, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize(
    ("kind", "dtype", "values"),
    [
        ("llama", "float32", {}),
        ("gemma3", "float32", {"targets": ALL}),
        ("gemma3", "float32", {"recompute": "full"}),
        ("qwen3", "bfloat16", {}),
        ("llama", "bfloat16", {"method": "full"}),
        ("llama", "bfloat16", {"optimizer": "small", "rank": 32}),
        ("gemma3", "bfloat16", {"targets": ALL, "tokens_per_pass": 64}),
    ],
)
def test_foretold_memory_is_what_the_allocator_gave_out(
    kind: str, dtype: str, values: dict[str, Any], model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = chosen(**values)
    measured = allocated(lambda: train_full_rows(lambda: tiny.load(model_dir(kind), dtype), settings, tmp_path))
    assert foretold(read_config(model_dir(kind)), dtype, settings).peak == pytest.approx(measured, rel=WITHIN)


SMALL: dict[str, Any] = {
    "vocab_size": 32_000, "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 1024, "tie_word_embeddings": False,
}  # fmt: skip


def small_config(**values: Any) -> Any:
    """A Llama of these sizes, some of them other ones."""
    return LlamaConfig(**(SMALL | values))


SMALL_SETTINGS: dict[str, Any] = {"rank": 16, "row_tokens": 512, "tokens_per_step": 2048, "epochs": 2, "targets": ALL}
GROWTH = """
import re, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_forecast as t
def peak():  # of this process alone: getrusage begins with what the parent had
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
t.train_small(Path({where!r}), num_hidden_layers=1, vocab_size=300)  # libraries and their threads take what they take
before = peak()
t.train_small(Path({where!r}))
print(peak() - before)
"""


def train_small(where: Path, **values: Any) -> None:
    """Train a model of 55 million numbers, or one with other sizes."""
    network = AutoModelForCausalLM.from_config(small_config(**values), dtype=torch.float32).eval()
    train_full_rows(lambda: LoadedModel(network, None, None, "small"), chosen(**SMALL_SETTINGS), where)  # type: ignore[arg-type]


def test_foretold_memory_is_what_the_process_grows_by(tmp_path: Path) -> None:
    code = GROWTH.format(tests=str(HERE), where=str(tmp_path))
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    found = foretold(small_config(), "float32", chosen(**SMALL_SETTINGS))
    assert grown > 500e6
    assert found.peak == pytest.approx(grown, rel=WITHIN)


def test_two_shallow_networks_stand_for_a_deep_one(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(num_hidden_layers=7, hidden_size=64, intermediate_size=96)
    short = foretold(config, "bfloat16", chosen(targets=ALL))
    monkeypatch.setattr("ishibumi.training.forecast.SMALL", (2, 7))  # 7 of 7 layers: nothing is left to extend
    whole = foretold(config, "bfloat16", chosen(targets=ALL))
    assert (short.weights, short.optimizer, short.flops) == (whole.weights, whole.optimizer, whole.flops)
    assert short.peak == pytest.approx(whole.peak, rel=0.01)


def test_weights_and_optimizer_are_counted_to_the_byte() -> None:
    config = small_config(num_hidden_layers=1)
    found = foretold(config, "bfloat16", chosen(targets=["q_proj"], rank=4))
    network = empty_network(config, "bfloat16")
    num_frozen, num_trained = sum(p.numel() for p in network.parameters()), 4 * (512 + 512)
    buffers = sum(b.nbytes for b in network.buffers())
    assert 0 <= found.weights - 2 * (num_frozen + num_trained) - buffers < 1000  # and a few scalars
    assert 0 <= found.optimizer - num_trained * (4 + 4 + 8) < 1000  # master, gradient, moments


def test_offloaded_moments_are_not_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ishibumi.training.small_adamw.PIECE", 256)

    def on_gpu(optimizer: str) -> Forecast:
        make = partial(empty_network, tiny.network("llama").config, "bfloat16", "cpu")
        return forecast(make, 2, chosen(targets=ALL, optimizer=optimizer), is_gpu=True)

    plain, small, offloaded = map(on_gpu, ("adamw", "small", "offloaded"))
    network = tiny.network("llama")
    trained = sum(p.numel() for t in attach(network, chosen(targets=ALL), 1) for p in t.parameters)
    assert 0 <= small.optimizer - 8 * trained < 1000  # a gradient, three states of two bytes, a few scalars
    assert 0 <= offloaded.optimizer - 2 * (3 * 256 + 4) < 1000  # two buffers
    assert 0 <= offloaded.waiting - 3 * trained + 2 * (3 * 256 + 4) < trained / 20  # and a few bytes a block
    assert plain.waiting == small.waiting == 0
    assert offloaded.peak < small.peak < plain.peak


def test_states_that_stay_leave_a_margin_free() -> None:
    found = Forecast(weights=50, optimizer=10, peak=80, flops=1.0, waiting=30)
    assert [found.resident_bytes(usable) for usable in (80, 84, 100, 110, 120, 1000)] == [0, 0, 15, 24, 30, 30]
    more = found.with_resident(100)
    assert (more.peak, more.optimizer, more.weights) == (95, 25, 50)


def test_a_head_that_trains_takes_less_where_its_gradient_is_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make = partial(empty_network, small_config(num_hidden_layers=1), "bfloat16", "cpu")

    def peak(targets: list[str]) -> int:
        return forecast(make, 1, chosen(targets=targets, tokens_per_pass=256), is_gpu=True).peak

    at_once = peak(["q_proj", "lm_head"]), peak(["q_proj"])
    monkeypatch.setattr("ishibumi.training.loss.GPU_LOGITS", 128 * 32_000)  # half of the tokens
    monkeypatch.setattr("ishibumi.training.forecast.GPU_LOGITS", 255 * 32_000)  # but the logits take what they took
    in_parts = peak(["q_proj", "lm_head"]), peak(["q_proj"])
    assert at_once[1] == in_parts[1]
    assert in_parts[0] - at_once[0] >= 2 * 32_000 * 512  # fp32 and bf16


def test_operations_are_four_a_frozen_weight_six_a_trained_one_and_attention() -> None:
    wide = LlamaForCausalLM(small_config(num_hidden_layers=1, hidden_size=64, vocab_size=300))
    wide_trainables = attach(wide, tiny.settings(targets=["q_proj"]), 1)
    unrounded = flops_per_token(wide, wide_trainables, 64)
    network = tiny.network("llama")
    trainables = attach(network, tiny.settings(targets=["q_proj"], rank=4), 1)
    per_layer = 32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 48  # q and o, k and v, the three of the MLP
    wanted = 4 * (2 * per_layer + 258 * 32) + 6 * 2 * 4 * (32 + 32) + 12 * (64 / 2) * 2 * 4 * 8
    assert flops_per_token(network, trainables, 64) == wanted
    assert wanted - flops_per_token(network, trainables, 64, num_words=100) == 4 * (258 - 100) * 32
    num_frozen = sum(m.weight.numel() for m in wide.model.modules() if isinstance(m, nn.Linear))
    for precision in ("nf4", "int8"):
        with frozen_in(wide, precision):
            assert flops_per_token(wide, wide_trainables, 64) == unrounded
            assert flops_in_8_bits(wide) == (4 * num_frozen if precision == "int8" else 0)
    speed = peak_flops(torch.device("cpu"), torch.float32)
    assert speed is not None and 1e8 < speed < 1e15


def test_a_gpu_is_known_by_the_first_name_that_its_name_contains(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in GPU_PEAKS:
        assert next(other for other in GPU_PEAKS if other in part) == part  # or this row would never be reached
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device.index])
    names = ["NVIDIA GH200 480GB", "NVIDIA H100 PCIe", "NVIDIA L40S", "Some GPU"]
    assert [peak_flops(torch.device("cuda", n), torch.bfloat16) for n in range(4)] == [989e12, 756e12, 362e12, None]
    peak_flops.cache_clear()


def test_shared_weights_are_counted_once_over_the_processes(model_dir: Callable[[str], Path]) -> None:
    model = Settings.model_validate({"model": {"base": "x", "device": "cpu", "dtype": "float32"}}).model
    whole = stage_forecast(model, model_dir("llama"), chosen(), num_ranks=2)
    split = stage_forecast(model, model_dir("llama"), chosen(), num_ranks=2, is_split=True)
    assert (split.weights, split.optimizer) == (whole.weights // 2, whole.optimizer // 2)
    assert whole.peak < stage_forecast(model, model_dir("llama"), chosen()).peak  # half of the rows


@pytest.fixture
def project(model_dir: Callable[[str], Path], tmp_path: Path) -> Path:
    return test_pipeline.write_project(tmp_path, model_dir("gemma3"))


def test_check_tells_what_each_stage_will_need(project: Path) -> None:
    code, out, err = test_pipeline.call("check", project)
    assert code == 0, err
    lines = {line.split(":")[0]: line for line in out.splitlines()}
    for stage in ("cpt", "sft"):
        assert "GiB memory (weights 0.00 GiB, masters, gradients and moments 0.00 GiB" in lines[stage]
        assert " s a step" in lines[stage]
    assert lines["exam"].startswith("exam: 0.")
    out = test_pipeline.call("check", project, "--set", "chat.sources=[]")[1]
    assert "\ncpt: " in out and "\nsft: " not in out  # there is no chat tuning without conversations


def test_check_refuses_what_will_not_fit_and_proposes_what_will(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(num_bytes: int, *flags: str) -> tuple[int, str, str]:
        monkeypatch.setattr("ishibumi.training.fitting.usable_bytes", lambda *_: num_bytes)
        return test_pipeline.call("check", project, *flags)

    flags = ("--set", "cpt.row_tokens=128", "--set", "cpt.tokens_per_step=4096", "--set", "sft.epochs=0",
             "--set", "exam.batch_questions=1")  # fmt: skip
    code, out, err = call(20_000_000, *flags)
    assert (code, out) == (2, "")
    assert err.startswith("ishibumi: cpt will not fit: it needs 0.0")
    hint = err.splitlines()[-1]
    assert hint.startswith("What to do: --set cpt.tokens_per_pass=") and hint.endswith(" GiB)")
    proposed = [word for word in hint.split("  ")[0].split()[3:]]
    assert call(20_000_000, *flags, *proposed)[0] == 0
    code, _, err = call(1000)
    assert code == 2 and "a smaller base model" in err.splitlines()[-1]


def test_check_lets_training_have_what_gpu_gib_gives_it_and_the_exam_the_whole_gpu(
    model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, whole = torch.device("cuda"), 2**30
    monkeypatch.setattr("ishibumi.training.fitting.pick_device", lambda _: gpu)
    monkeypatch.setattr("ishibumi.training.fitting.seconds_at_best", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=whole))
    assert [usable_bytes(gpu, gib) for gib in (None, 0.5, 80)] == [
        int(GPU_SHARE * n) for n in (whole, whole / 2, whole)
    ]
    small = {"row_tokens": 64, "tokens_per_pass": 256}

    def lines(cpt: float, sft: float) -> list[str]:
        sections = {"cpt": {**small, "gpu_gib": cpt}, "sft": {**small, "gpu_gib": sft}, "exam": {"batch_questions": 1}}
        settings = Settings.model_validate({"model": {"device": "cpu", "dtype": "bfloat16"}, **sections})
        return forecast_lines(settings, model_dir("llama"), has_chats=True)

    told = [re.sub(r"\d\.\d\d GiB of (.*) memory.*", r"\1", line) for line in lines(0.5, 0.25)]
    assert told == ["cpt: 0.47 GiB", "sft: 0.23 GiB", "exam: 0.94 GiB"]
    with pytest.raises(UsageError, match=r"^sft will not fit: .* and 0\.00 GiB can be used\.$"):
        lines(0.5, 0.0001)


def test_shared_memory_is_not_taken_for_memory_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(
        "MemTotal: 16000 kB\nMemFree: 1000 kB\nMemAvailable: 4500 kB\nCached: 8000 kB\nShmem: 4000 kB\n"
    )
    assert available_bytes(tmp_path / "meminfo") == 4500 * 1024
    assert available_bytes(tmp_path / "none") > 0


def test_an_exam_that_will_not_fit_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.model_validate({"model": {"dtype": "float32"}})
    needed = exam_bytes(read_config(Path(project.read_text().split('base = "')[1].split('"')[0])), settings)
    monkeypatch.setattr("ishibumi.training.fitting.usable_bytes", lambda *_: needed // 4)
    code, _, err = test_pipeline.call("check", project, "--set", "cpt.tokens_per_pass=256", "--set", "sft.epochs=0")
    assert code == 2
    assert err.startswith("ishibumi: The exam will not fit: ") and "--set exam.batch_questions=" in err


def test_matrices_that_a_gpu_keeps_turned_are_foretold_where_there_is_room(model_dir: Callable[[str], Path]) -> None:
    config = read_config(model_dir("llama"))
    make = partial(empty_network, config, "bfloat16", "cpu")
    fp8, bf16, again = (
        forecast(make, config.num_hidden_layers, chosen(**values), is_gpu=True)
        for values in ({"precision": "fp8"}, {"precision": "bf16"}, {"precision": "fp8", "recompute": "full"})
    )
    linear = [m.weight.numel() for m in make(config.num_hidden_layers).base_model.modules() if isinstance(m, nn.Linear)]
    assert fp8.turned == sum(linear)  # a byte each
    assert bf16.turned == again.turned == 0
    assert fp8.with_turned(fp8.peak + fp8.turned + 1).peak == fp8.peak + fp8.turned
    assert fp8.with_turned(fp8.peak + fp8.turned) == fp8

"""Whether a stage fits the machine, and what to change if not. settings + config.json → Forecast, or UsageError."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ishibumi.errors import UsageError
from ishibumi.models.load import empty_network, head_size, number_format, pick_device, read_config
from ishibumi.models.recorded import COLUMNS
from ishibumi.settings import ModelSettings, Settings, TrainSettings
from ishibumi.training.compiled import WIDE
from ishibumi.training.compiler import has_compiler
from ishibumi.training.distributed import is_split, num_ranks
from ishibumi.training.flops import seconds_at_best
from ishibumi.training.forecast import Forecast, forecast
from ishibumi.training.precision import Precision, held_in, move_rounded, precision_on
from ishibumi.training.rehearsal import BATCH, BEGINNING, TOKENS
from ishibumi.training.waiting import ON_GPU

GPU_SHARE = 0.94  # of a GPU's memory; the rest is the driver's and lost between blocks
# of the best speed of large products, with all that is between them (benchmarks/foretold.py)
EFFICIENCY = {"cuda": 0.5, "cpu": 0.7}
EFFICIENCY_NARROW = 0.36  # of models less than WIDE, on a GPU
OPTIMIZERS = ("adamw", "small", "offloaded")  # each with less on the GPU than the one before
GPU_STEP = 0.009  # seconds of a step beside its products: launches, the update, waiting
MAX_PROMPT_TOKENS = 1536 + 256  # a passage as the exam cuts it, and the question
REHEARSAL_TOKENS = -(-(1 + max(BEGINNING) + TOKENS) // COLUMNS) * COLUMNS  # a text's places, with its BOS
NF4_UNPACKED = 15  # bytes of a weight while its matrix is rounded (2 + 4 + 4 + 4 + 1); unpacked from nf4 it needs 10
PROGRAM_BYTES = 1 << 30  # Python, PyTorch and the tokenizer, in a CPU's memory


def usable_bytes(device: torch.device, gpu_gib: float | None = None) -> int:
    """What may be used of a GPU's memory, of which `gpu_gib` may be taken or all, or of the memory that is free now."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return int(GPU_SHARE * (total if gpu_gib is None else min(total, gpu_gib * 2**30)))
    return available_bytes(Path("/proc/meminfo")) - PROGRAM_BYTES


def available_bytes(meminfo: Path) -> int:
    """Memory that Linux could give a program: what is free, and file contents that it would drop; elsewhere the former.

    «Cached» has shared memory and files in memory (tmpfs) in it, which stay: MemAvailable leaves them out.
    """
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    found = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def stage_forecast(
    model: ModelSettings, directory: Path, settings: TrainSettings, *, num_ranks: int = 1, is_split: bool = False
) -> Forecast:
    """What a stage needs on the machine of the settings, in each process."""
    config, device = read_config(directory), pick_device(model.device)
    precision = precision_on(settings.precision, device, is_split=is_split)
    settings = settings.model_copy(update={"precision": precision})
    found = forecast(
        partial(empty_network, config, number_format(model), "cpu"),
        config.num_hidden_layers,
        settings,
        is_gpu=device.type == "cuda",
        is_compiled=settings.compile == "always",
        num_ranks=num_ranks,
    )
    return found.split(num_ranks, config.num_hidden_layers) if is_split else found


def fitting_forecast(
    stage: str, model: ModelSettings, directory: Path, settings: TrainSettings, usable: int
) -> tuple[Forecast, TrainSettings]:
    """The forecast and the settings that it is of: with recomputed layers where "auto" on a GPU would choose them.

    Raises UsageError where the stage needs more than `usable` bytes, with settings that fit if some do.
    """
    found, on_gpu = stage_forecast(model, directory, settings), pick_device(model.device).type == "cuda"
    if found.peak > usable and settings.recompute == "auto" and on_gpu:
        settings = settings.model_copy(update={"recompute": "full"})
        found = stage_forecast(model, directory, settings)
    if found.peak <= usable:
        return found.with_turned(usable).with_resident(usable), settings
    for changes in _smaller(settings, on_gpu):
        smaller = stage_forecast(model, directory, settings.model_copy(update=changes))
        if smaller.peak <= usable:
            flags = " ".join(f"--set {stage}.{key}={value}" for key, value in changes.items())
            raise _too_large(
                stage, found, usable, f"{flags}  ({gib(smaller.peak)})", f"{flags}  （{gib(smaller.peak)}）"
            )
    more = "Use several GPUs (torchrun), a smaller base model, or a machine with more memory."
    more_ja = "複数の GPU（torchrun）、小さな元モデル、またはメモリの多い機械を使ってください。"
    raise _too_large(stage, found, usable, more, more_ja)


def resident_bytes(network: Any, settings: TrainSettings) -> int:
    """How much of an offloaded optimizer's states a GPU keeps beside the peak that is foretold; 0 for others.

    The network is there with its trained matrices, as the stage has prepared it. Plain layers are assumed, which keep
    more than compiled ones, and by `recompute` "auto" that all keep it: where they do not fit, nothing is left. Without
    a compiler the update itself takes memory.
    """
    device = next(network.parameters()).device
    if settings.optimizer != "offloaded" or device.type != "cuda" or is_split(network) or not has_compiler(is_gpu=True):
        return 0
    config, precision = network.config, precision_on(settings.precision, device, is_split=False)
    found = forecast(
        partial(empty_network, config, "bfloat16", "cpu"),
        config.num_hidden_layers,
        settings.model_copy(update={"precision": precision}),
        is_gpu=True,
        num_ranks=num_ranks(),
    )
    free_now = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)  # others may use the GPU, too
    usable = min(usable_bytes(device, settings.gpu_gib), free_now)
    return found.with_turned(usable).resident_bytes(usable)


def _smaller(settings: TrainSettings, on_gpu: bool) -> Iterator[dict[str, Any]]:
    """Changes that save memory, each with those before it; the cheapest in time first."""
    changes: dict[str, Any] = {}
    tokens = settings.tokens_per_pass
    while tokens // 2 >= settings.row_tokens:
        tokens //= 2
        changes["tokens_per_pass"] = tokens
        if tokens < settings.tokens_per_step:  # more at once than a step has changes nothing
            yield dict(changes)
    optimizers = OPTIMIZERS[OPTIMIZERS.index(settings.optimizer) + 1 :] if on_gpu else ()
    others = (("recompute", "full"), ("precision", "nf4"), ("row_tokens", settings.row_tokens // 2))
    for key, value in (*(("optimizer", name) for name in optimizers), *others):
        if getattr(settings, key) != value and not (key == "precision" and settings.method == "full"):
            changes[key] = value
            yield dict(changes)


def _too_large(stage: str, found: Forecast, usable: int, hint: str, hint_ja: str) -> UsageError:
    return UsageError(
        f"{stage} will not fit: it needs {gib(found.peak)} of memory ({told(found)}), and {gib(usable)} can be used.",
        hint=hint,
        hint_ja=hint_ja,
    )


def told(found: Forecast) -> str:
    """«weights 0.5 GiB, masters, gradients and moments 0.3 GiB, activations and logits 1.1 GiB»."""
    rest = found.peak - found.weights - found.optimizer
    return (
        f"weights {gib(found.weights)}, masters, gradients and moments {gib(found.optimizer)}, "
        f"activations and logits {gib(rest)}"
    )


def gib(num_bytes: int) -> str:
    """«1.50 GiB»."""
    return f"{num_bytes / 2**30:.2f} GiB"


def forecast_lines(settings: Settings, base: Path, *, has_chats: bool) -> list[str]:
    """What each stage that computes will need, as text. Raises UsageError where one does not fit."""
    model, device = settings.model, pick_device(settings.model.device)
    dtype = getattr(torch, number_format(model))
    stages: dict[str, TrainSettings] = {"cpt": settings.cpt}
    if has_chats and settings.sft.epochs > 0:
        stages["sft"] = settings.sft
    lines: list[str] = []
    for stage, of_stage in stages.items():
        usable = usable_bytes(device, of_stage.gpu_gib)
        found, used = fitting_forecast(stage, model, base, of_stage, usable)
        at_best = seconds_at_best(found.flops, found.flops_in_8_bits, device, dtype)
        hidden_size = read_config(base).hidden_size
        time = f"; {_time(seconds_to_expect(at_best, device.type, hidden_size), used)}" if at_best else ""
        lines.append(f"{stage}: {gib(found.peak)} of {gib(usable)} memory ({told(found)}){time}")
    return [*lines, _exam_line(settings, base)]


def _exam_line(settings: Settings, base: Path) -> str:
    """What the exam will need. Raises UsageError where it does not fit, with the most questions at once that do."""
    config, usable = read_config(base), usable_bytes(pick_device(settings.model.device))
    precision = reply_precision(settings, base)
    needed = exam_bytes(config, settings, precision)
    if needed <= usable:
        told = "" if precision == "bf16" else f" (matrices in {precision}: exam.precision = {settings.exam.precision})"
        return f"exam: {gib(needed)} of {gib(usable)} memory{told}"
    alone = exam_bytes(config, settings, precision, batch_questions=1)
    each = (needed - alone) / max(1, settings.exam.batch_questions - 1)
    fitting = 1 + int((usable - alone) / each) if usable >= alone and each else 0
    hints = [f"--set exam.batch_questions={fitting}"] if fitting else []
    hints += ["--set exam.precision=nf4"] if precision != "nf4" else []
    hint = "   or   ".join(hints) or "Use a smaller base model, or a machine with more memory."
    hint_ja = " または ".join(hints) or "小さな元モデルか、メモリの多い機械を使ってください。"
    raise UsageError(f"The exam will not fit: {gib(needed)} of {gib(usable)} memory.", hint=hint, hint_ja=hint_ja)


def seconds_to_expect(at_best: float, device_type: str, hidden_size: int) -> float:
    """Seconds of a step that takes `at_best` at the machine's best speed."""
    if device_type == "cpu":
        return at_best / EFFICIENCY["cpu"]
    return GPU_STEP + at_best / (EFFICIENCY["cuda"] if hidden_size >= WIDE else EFFICIENCY_NARROW)


def _time(seconds: float, settings: TrainSettings) -> str:
    """«very roughly 2.7 s a step, 20 min for max_tokens»."""
    seconds *= 4 / 3 if settings.recompute == "full" else 1.0  # recomputed layers go forward twice
    steps = (settings.max_tokens or 0) / settings.tokens_per_step
    return f"very roughly {seconds:.2g} s a step" + (
        f", {steps * seconds / 60:.0f} min for max_tokens" if steps else ""
    )


def reply_precision(settings: Settings, base: Path) -> Precision:
    """The format of the matrices of models that are asked: what exam.precision says, where the device computes in it.

    By "auto" they stay as they are, unless a GPU cannot hold them and one question; then it is that of cpt.
    """
    device, wanted = pick_device(settings.model.device), settings.exam.precision
    if wanted != "auto":
        return precision_on(wanted, device, is_split=False)
    rounded = precision_on(settings.cpt.precision, device, is_split=False)
    if device.type != "cuda" or rounded not in ON_GPU:
        return "bf16"
    fits = exam_bytes(read_config(base), settings, batch_questions=1) <= usable_bytes(device)
    return "bf16" if fits else rounded


def exam_bytes(
    config: Any, settings: Settings, precision: Precision = "bf16", batch_questions: int | None = None
) -> int:
    """What a batch of questions with the longest passages needs."""
    exam = settings.exam
    num_tokens = MAX_PROMPT_TOKENS + exam.max_new_tokens
    return replies_bytes(config, settings.model, precision, batch_questions or exam.batch_questions, num_tokens, 2)


def rehearsal_plan(settings: Settings, base: Path) -> tuple[Precision, int]:
    """The format of the base's matrices while it writes the rehearsal texts, and how many it writes at once.

    They stay as they are where a GPU then has room for a few texts, else they have cpt's format.
    """
    device, cpt = pick_device(settings.model.device), settings.cpt
    on_cpu, most = BATCH
    if device.type != "cuda":
        return "bf16", on_cpu
    usable, config = usable_bytes(device, cpt.gpu_gib), read_config(base)
    rounded = precision_on(cpt.precision, device, is_split=False)
    precisions: tuple[Precision, ...] = ("bf16", rounded) if rounded in ON_GPU and cpt.method == "lora" else ("bf16",)

    def num_fitting(precision: Precision) -> int:
        need = partial(replies_bytes, config, settings.model, precision, num_tokens=REHEARSAL_TOKENS, copies=8)
        empty, one = need(0), need(1)
        num = min(most, max(0, usable - empty) // (one - empty))
        return num and 1 << (num.bit_length() - 1)

    for precision in precisions:
        if (num := num_fitting(precision)) >= on_cpu:
            return precision, num
    return precisions[-1], max(1, num_fitting(precisions[-1]))


def replies_bytes(
    config: Any, model: ModelSettings, precision: Precision, num_replies: int, num_tokens: int, copies: int
) -> int:
    """Weights and the greatest matrix as it is unpacked, so many replies' keys and values, so many copies of their
    logits and a layer's own results. `num_tokens` are those of a prompt with its reply.
    """
    network = empty_network(config, number_format(model))
    largest = max((child.weight.numel() for _, _, child in held_in(network, precision)), default=0)
    move_rounded(network, precision, torch.device("meta"))
    weights = sum(t.nbytes for t in (*network.parameters(), *network.buffers()))
    weights *= 2 if pick_device(model.device).type == "cpu" and precision == "bf16" else 1  # with what is packed
    number = 2 if number_format(model) == "bfloat16" else 4
    cache = config.num_hidden_layers * 2 * config.num_key_value_heads * head_size(config)
    layer = 3 * config.intermediate_size + 2 * config.hidden_size
    unpacked = NF4_UNPACKED * largest if precision == "nf4" else 0
    return weights + unpacked + number * num_replies * (num_tokens * (cache + layer) + copies * config.vocab_size)

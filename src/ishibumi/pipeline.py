"""The whole path, stage by stage. Run → run_dir/{corpus,knowledge,cpt,sft,exam,report}/.

Each function makes one stage and returns its artifact; a stage is made anew only when its fingerprint, which is made of
its settings and of the fingerprints before it, has changed.
"""

import contextlib
import shutil
from pathlib import Path
from typing import Any

from ishibumi import artifacts
from ishibumi.artifacts import Artifact
from ishibumi.config import Run
from ishibumi.corpus.read import load_documents
from ishibumi.corpus_stage import SILENT, Watch, build_corpus, stage_path
from ishibumi.errors import UsageError
from ishibumi.exam.sit import COPIED
from ishibumi.exam_stage import exam_questions, hold_exam, skills_of, trained_side, untrained_side
from ishibumi.joint_stage import existing, fingerprint_of, made_together
from ishibumi.knowledge_stage import make_knowledge
from ishibumi.loggers import check_loggers
from ishibumi.models.load import base_identity, find_base
from ishibumi.report_stage import fill_report
from ishibumi.training.distributed import joined, rank, wait
from ishibumi.training.fitting import reply_precision
from ishibumi.training_stages import continue_pretraining, tune_chat

STAGES = tuple(stage for stage in artifacts.STAGES if stage != "before")  # which `evaluate` makes beside exam
NUM_TOGETHER = STAGES.index("sft") + 1  # after these stages the first process goes on alone


def run(run: Run, *, watch: Watch = SILENT, until: str = STAGES[-1]) -> Path:
    """Make every stage up to `until` whose inputs changed; returns the run directory.

    Raises UsageError for an unknown stage, ArtifactError where another process works in the directory, and whatever
    the stages raise. A stopped or failed run goes on where it was when called again. Where torchrun started several
    processes, all train, the first does everything else, and the others come back after training.
    """
    if until not in STAGES:
        raise UsageError(f'There is no stage "{until}". Stages: {", ".join(STAGES)}.')
    makers = (_read_documents, make_knowledge, continue_pretraining, tune_chat, evaluate, write_report)
    check_loggers(run.settings.machine.log_to)
    wanted = makers[: STAGES.index(until) + 1]
    if evaluate in wanted:
        skills_of(run)  # a malformed file is refused now, and not after training
    with contextlib.ExitStack() as held:
        with joined(run.settings.model.device) as number:
            if number == 0:
                held.enter_context(artifacts.lock(run.run_dir))
            for maker in wanted[:NUM_TOGETHER]:
                maker(run, watch=watch)
        for maker in wanted[NUM_TOGETHER:] if number == 0 else ():
            maker(run, watch=watch)
    return run.run_dir


def _read_documents(run: Run, *, watch: Watch) -> Artifact:
    """The corpus stage, which the first of several processes makes."""
    if rank() == 0:
        build_corpus(run, watch=watch)
    wait()
    return artifacts.load(stage_path(run, "corpus"))


def evaluate(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """sft + exam questions + general text → exam/: answers of every arm and perplexity before and after.

    What the untouched base says is a stage of its own, before/, which a change of training leaves as it is. Both models
    have their matrices in the format in which it was asked: the two are compared.
    """
    exam = run.settings.exam
    paths = [run.resolve(p) for p in (*exam.questions, *exam.general, *exam.free_questions, *exam.choices, *exam.facts)]
    model = [run.settings.model.model_dump(exclude={"instruct"}), base_identity(run.settings.model.base, run.base_dir)]
    of_base = exam.model_dump(exclude={"scale", "free_questions", "behaviour"})
    inputs = [
        of_base,
        model,
        run.settings.seed,
        fingerprint_of(run, "corpus"),
        fingerprint_of(run, "knowledge"),
        *existing(paths),
    ]

    def ask_base(directory: Path) -> dict[str, Any]:
        precision = reply_precision(run.settings, find_base(run.settings.model.base, run.base_dir))
        return hold_exam(run, untrained_side(run, precision), directory, watch) | {"precision": precision}

    before = made_together(run, "before", watch, inputs, ask_base)

    def work(directory: Path) -> dict[str, Any]:
        for file in stage_path(run, "before").glob(COPIED):
            shutil.copy(file, directory)
        precision = before.manifest.get("precision", "bf16")  # none in runs that are older than exam.precision
        return hold_exam(run, trained_side(run, precision), directory, watch) | {"precision": precision}

    inputs = [
        exam.model_dump(),
        run.settings.model.model_dump(),
        fingerprint_of(run, "sft"),
        fingerprint_of(run, "before"),
    ]
    return made_together(run, "exam", watch, inputs, work)


def write_report(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """Everything before → report/report.html and report/summary.json."""

    def work(directory: Path) -> dict[str, Any]:
        questions = exam_questions(run, load_documents(stage_path(run, "corpus")))
        fill_report(run, questions, directory)
        return {}

    inputs = [run.settings.model_dump(), run.origins, fingerprint_of(run, "exam"), fingerprint_of(run, "knowledge")]
    return made_together(run, "report", watch, inputs, work)

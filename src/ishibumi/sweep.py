"""Many runs with other settings, on one device or several. SETTINGS.toml + axes → trials → a table and a picture.

A trial is a run directory; stages that trials have in common are made once (Run.store). What is finished stays, so the
same command goes on where it stopped.

    run/sweep/stages/cpt-3f9a…/           each stage once, by fingerprint
    run/sweep/trials/cpt.rank=32,seed=1/  links to its stages, and its report
    run/sweep/sweep.tsv, sweep.html       learned against forgotten
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ishibumi import artifacts, config
from ishibumi.corpus_stage import SILENT, Watch
from ishibumi.errors import Stopped, TrainingError, UsageError
from ishibumi.exam.sweep_page import Point, point_of, with_front, write_sweep
from ishibumi.pipeline import run
from ishibumi.sweep_plan import Chosen, trial_name
from ishibumi.sweep_workers import workers

COMMON = {"exam.arms": '["base", "engraved"]'}  # the other arms cost time and say little of a setting
BUDGET = 1.1  # perplexity after / before; what is above has forgotten too much


class Judge(Protocol):
    """Looks at a configuration as it trains, and ends it where it will not be among the best."""

    def step(self, stage: str, record: Any) -> None:
        """A training step of the first seed."""

    def is_hopeless(self) -> bool:
        """Whether to end it now."""
        ...

    def seed_done(self, point: Point) -> None:
        """What it has reached with the seeds so far."""


@dataclass(frozen=True)
class Job:
    """One configuration with the seeds to run one after another."""

    chosen: Chosen
    seeds: tuple[int, ...]
    judge: Judge | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended: «done», «pruned» or «failed», and why."""

    chosen: Chosen
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """All points, best learned first, and how this call's jobs ended."""

    points: list[Point]
    outcomes: list[Outcome]

    def refuse_failed(self, directory: Path) -> None:
        """Raise TrainingError where trials failed; what the others reached is written."""
        failed = [o for o in self.outcomes if o.state == "failed"]
        if failed:
            told = "\n".join(f"  {trial_name(o.chosen)}: {o.reason}" for o in failed)
            raise TrainingError(f"{len(failed)} of {len(self.outcomes)} trials failed; the rest: {directory}\n{told}")


@dataclass(frozen=True)
class Sweep:
    """Where a sweep works: settings file, what all trials have in common, the directory of its results."""

    path: Path
    overrides: Mapping[str, str]
    directory: Path
    seeds: tuple[int, ...]

    def run_of(self, chosen: Mapping[str, str], seed: int) -> config.Run:
        """The run of a trial. Raises UsageError for a setting or value that does not exist."""
        named = {**chosen, "seed": str(seed)}
        where = {"run_dir": str(self.directory / "trials" / trial_name(named))}
        loaded = config.load(self.path, {**COMMON, **self.overrides, **named, **where})
        return replace(loaded, store=self.directory / "stages")

    def point(self, chosen: Chosen, seeds: Sequence[int] = ()) -> Point | None:
        """What a configuration has come to; None before its first seed is finished."""
        return point_of(chosen, [self.run_of(chosen, seed).run_dir for seed in seeds or self.seeds])


def begin(path: Path, overrides: Mapping[str, str], num_seeds: int) -> Sweep:
    """The sweep of a settings file, in its run_dir, whose own finished stages are taken over.

    Raises UsageError where nothing would measure what is forgotten, or where torchrun started this.
    """
    own = config.load(path, overrides)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "A sweep was started by torchrun: its processes would all do the same trials.",
            hint="Start it without torchrun; --parallel does several trials at once, each on a GPU of its own.",
            hint_ja="torchrun なしで起動してください。--parallel を使うと、試行ごとに GPU を割り当てて並行に進めます。",
        )
    if not own.settings.exam.general:
        raise UsageError(
            "A sweep sets what is learned against what is forgotten, but exam.general names no text to measure it by.",
            hint="Set exam.general to files of general text that is never trained on.",
            hint_ja="学習に使わない一般の文章を exam.general に指定してください。",
        )
    first = own.settings.seed
    sweep = Sweep(path, overrides, own.run_dir.absolute() / "sweep", tuple(range(first, first + num_seeds)))
    stages = sweep.directory / "stages"
    with artifacts.disk_errors(stages):
        stages.mkdir(parents=True, exist_ok=True)
        for stage in (own.run_dir / name for name in artifacts.STAGES[:-1]):
            if (stage / artifacts.MANIFEST).exists():
                kept = stages / f"{stage.name}-{artifacts.load(stage).fingerprint[:16]}"
                if not kept.exists():
                    kept.unlink(missing_ok=True)
                    kept.symlink_to(os.path.relpath(stage, stages))
    return sweep


def sweep_grid(sweep: Sweep, configurations: Sequence[Chosen], *, parallel: int = 1, watch: Watch = SILENT) -> Result:
    """Every configuration with every seed; table and picture are written after each.

    Raises UsageError before anything runs, and Stopped on Ctrl-C.
    """
    for chosen in configurations:
        sweep.run_of(chosen, sweep.seeds[0])
    jobs = iter([Job(chosen, (seed,)) for chosen in configurations for seed in sweep.seeds])
    outcomes: list[Outcome] = []

    def on_done(_: Job, outcome: Outcome) -> None:
        outcomes.append(outcome)
        write_points(sweep, configurations)

    run_jobs(sweep, lambda: next(jobs, None), on_done, parallel=parallel, watch=watch)
    return Result(write_points(sweep, configurations), outcomes)


def write_points(sweep: Sweep, configurations: Sequence[Chosen]) -> list[Point]:
    """Write sweep.tsv and sweep.html of what is finished, and return its points, best learned first."""
    points = with_front([point for chosen in configurations if (point := sweep.point(chosen))])
    language = sweep.run_of({}, sweep.seeds[0]).settings.report.language
    write_sweep(sweep.directory, points, BUDGET, language)
    return points


def run_jobs(
    sweep: Sweep,
    next_job: Callable[[], Job | None],
    on_done: Callable[[Job, Outcome], None],
    *,
    parallel: int,
    watch: Watch,
) -> None:
    """Do jobs until there is none, `parallel` at once; `next_job` is asked again after each `on_done`."""
    going: dict[Future[Outcome], Job] = {}
    pool, told = workers(parallel, watch)
    try:
        while True:
            while len(going) < parallel and not watch.should_stop() and (job := next_job()):
                going[pool.submit(do_job, sweep, job, told)] = job
            if not going:
                break
            for future in wait(going, return_when=FIRST_COMPLETED).done:
                on_done(going.pop(future), future.result())
    finally:
        pool.shutdown(cancel_futures=True)
    if watch.should_stop():
        raise Stopped("The sweep was stopped.", hint="The same command goes on from here.")


def do_job(sweep: Sweep, job: Job, watch: Watch) -> Outcome:
    """Run the seeds of a configuration one after another."""
    for number, seed in enumerate(job.seeds, start=1):
        looking = _Looking(watch, job.judge if number == 1 else None)
        try:
            run(sweep.run_of(job.chosen, seed), watch=looking)
        except TrainingError as error:
            return Outcome(job.chosen, "failed", error.message)
        except Stopped:
            if looking.watch.should_stop():
                raise
            return Outcome(job.chosen, "pruned", "in training")
        point = sweep.point(job.chosen, job.seeds[:number])
        if job.judge and point and number < len(job.seeds):
            job.judge.seed_done(point)
            if job.judge.is_hopeless():
                return Outcome(job.chosen, "pruned", f"after seed {seed}")
    return Outcome(job.chosen, "done")


class _Looking:
    """A watch that tells a judge of training steps and stops when either says so."""

    def __init__(self, watch: Watch, judge: Judge | None) -> None:
        self.watch, self.judge = watch, judge

    def stage_started(self, stage: str) -> None:
        self.watch.stage_started(stage)

    def stage_finished(self, stage: str, manifest: dict[str, Any], reused: bool) -> None:
        self.watch.stage_finished(stage, manifest, reused)

    def step(self, stage: str, record: Any) -> None:
        self.watch.step(stage, record)
        if self.judge:
            self.judge.step(stage, record)

    def answered(self, arm: str, done: int, total: int) -> None:
        self.watch.answered(arm, done, total)

    def should_stop(self) -> bool:
        return self.watch.should_stop() or bool(self.judge and self.judge.is_hopeless())

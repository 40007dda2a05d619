"""A search among settings with Optuna: each trial is proposed by what the earlier ones reached. Axes → Jobs → outcomes.

Its journal lies beside the trials, so that a stopped search goes on. What is searched for is Point.score: the share of
the exam, less what perplexity exceeds the budget by. A configuration is ended early where, at the same tenth of
training its loss, or after the same seed its score, is worse than the median of the others. Losses are only compared
where all trials train on the same texts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ishibumi.corpus_stage import SILENT, Watch
from ishibumi.errors import UsageError
from ishibumi.exam.sweep_page import Point
from ishibumi.sweep import BUDGET, Job, Outcome, Result, Sweep, run_jobs, write_points
from ishibumi.sweep_plan import Axis, Chosen, suggested

# With other values of these, the same texts are learned in the same order and proportion.
SAME_TEXTS = ("rank", "alpha", "targets", "learning_rate", "warmup_share", "schedule", "weight_decay", "clip_norm")
TENTHS = 10
TRIED_FIRST = 4  # trials that nothing is compared with


def sweep_search(
    sweep: Sweep, axes: Sequence[Axis], num_trials: int, *, parallel: int = 1, watch: Watch = SILENT
) -> Result:
    """Try `num_trials` configurations, those of an earlier call counted; raises as `sweep_grid` does."""
    optuna = _optuna()
    states = optuna.trial.TrialState
    journal = sweep.directory / f"search-{hashlib.sha256(repr(list(axes)).encode()).hexdigest()[:8]}.log"
    study = _study(journal, sweep.seeds[0])
    for left in study.get_trials(states=[states.RUNNING]):  # cut off: to be done again, and no failure
        study.tell(left.number, state=states.FAIL)
        study.enqueue_trial(left.params)
    ended = [t for t in study.get_trials(states=[states.COMPLETE, states.PRUNED])]
    configurations: list[Chosen] = [t.user_attrs["settings"] for t in ended]
    outcomes: list[Outcome] = []
    same_texts = all(axis.key.rpartition(".")[2] in SAME_TEXTS and axis.key.startswith("cpt.") for axis in axes)

    def next_job() -> Job | None:
        if len(configurations) >= num_trials:
            return None
        trial = study.ask()
        chosen = suggested(axes, trial)
        trial.set_user_attr("settings", chosen)
        sweep.run_of(chosen, sweep.seeds[0])  # a wrong setting ends the search before anything runs
        configurations.append(chosen)
        return Job(chosen, sweep.seeds, OptunaJudge(journal, trial.number, same_texts))

    def on_done(job: Job, outcome: Outcome) -> None:
        outcomes.append(outcome)
        points = write_points(sweep, configurations)
        point = next((p for p in points if p.settings == job.chosen), None)
        assert isinstance(job.judge, OptunaJudge)
        if outcome.state == "done" and point:
            study.tell(job.judge.number, point.score(BUDGET))
        else:
            study.tell(job.judge.number, state=states.PRUNED if outcome.state == "pruned" else states.FAIL)

    run_jobs(sweep, next_job, on_done, parallel=parallel, watch=watch)
    return Result(write_points(sweep, configurations), outcomes)


@dataclass
class OptunaJudge:
    """Tells the study how a trial does, and asks whether it should go on; opens the journal where it is."""

    journal: Path
    number: int
    compares_losses: bool
    _losses: list[float] = field(default_factory=list[float])
    _hopeless: bool = False

    def step(self, stage: str, record: Any) -> None:
        """Report the mean loss of each tenth of continued pretraining, as a figure that rises."""
        if stage != "cpt" or not self.compares_losses:
            return
        self._losses.append(record.loss)
        tenth = TENTHS * record.step // record.num_steps
        if tenth > TENTHS * (record.step - 1) // record.num_steps:
            self._report(-sum(self._losses) / len(self._losses), tenth)
            self._losses = []

    def seed_done(self, point: Point) -> None:
        """Report the score of the seeds so far."""
        self._report(point.score(BUDGET), TENTHS + len(point.each))

    def is_hopeless(self) -> bool:
        """Whether it is worse than the median at the same place."""
        return self._hopeless

    def _report(self, value: float, step: int) -> None:
        study = _study(self.journal, 0)
        trial = _optuna().trial.Trial(study, study.get_trials()[self.number]._trial_id)
        trial.report(value, step)
        self._hopeless = trial.should_prune()


def _study(journal: Path, seed: int) -> Any:
    optuna = _optuna()
    storage = optuna.storages.journal
    return optuna.create_study(
        storage=storage.JournalStorage(storage.JournalFileBackend(str(journal))),
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=TRIED_FIRST, n_warmup_steps=2),
        study_name="sweep",
        direction="maximize",
        load_if_exists=True,
    )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError(
            "--trials searches with Optuna, which is not installed.",
            hint="pip install 'ishibumi[sweep]', or leave --trials out and list the values.",
            hint_ja="pip install 'ishibumi[sweep]' で入れるか、--trials を外して値を並べてください。",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna

"""How long training goes on and at which learning rate. Step → share of the peak rate.

                ____
as planned    _/    ‾‾‾----____           a rise, then the schedule's fall to zero
                ____
known early   _/    ‾‾‾-\\                 once enough is known, or too much forgotten, the fall is short
"""

import math
from typing import Any, Literal

from ishibumi.settings import TrainSettings
from ishibumi.training.distributed import first_says

Reason = Literal["known", "forgotten"]

FALL = 0.1  # of the steps so far: a model that stops at a high rate is a worse one


class Pace:
    """The number of steps and the learning rate of each; both change once when training is to end early."""

    def __init__(self, num_steps: int, settings: TrainSettings) -> None:
        self.num_planned, self.settings = num_steps, settings
        self.num_before: int | None = None  # steps after which the short fall began

    @property
    def num_steps(self) -> int:
        """Steps in all, as it looks now."""
        if self.num_before is None:
            return self.num_planned
        return min(self.num_planned, self.num_before + math.ceil(FALL * self.num_before))

    def rate(self, step: int) -> float:
        """The learning rate of step `step` (from 0) as a share of its peak."""
        before, planned = self.num_before, share_of_peak(step, self.num_planned, self.settings)
        if before is None or step < before:
            return planned
        left = (self.num_steps - step) / (self.num_steps - before + 1)
        return min(planned, left * share_of_peak(before, self.num_planned, self.settings))

    def judge(self, num_done: int, known: float | None, forgotten: float | None) -> None:
        """At the end of an epoch: end soon if a share that the settings name is reached; the first process says so."""
        is_reached = first_says(reached(known, forgotten, self.settings) is not None)
        if is_reached and self.num_before is None and num_done < self.num_planned:
            self.num_before = num_done

    def state(self) -> dict[str, Any]:
        """What a resumed run needs besides the settings."""
        return {"num_before": self.num_before}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.num_before = state["num_before"]


def reached(known: float | None, forgotten: float | None, settings: TrainSettings) -> Reason | None:
    """Which of the shares that end training early is reached, the one that must not be first; None if neither is."""
    if forgotten is not None and forgotten >= (settings.stop_at_forgotten or math.inf):
        return "forgotten"
    if known is not None and known >= (settings.stop_at_known or math.inf):
        return "known"
    return None


def share_of_peak(step: int, num_steps: int, settings: TrainSettings) -> float:
    """The learning rate of step `step` (from 0) as a share of its peak: a linear rise, then the schedule's fall.

    warm-up 2 of 6 steps, linear:  0.5  1.0  1.0  0.75  0.5  0.25
    """
    num_warmup = math.ceil(settings.warmup_share * num_steps)
    if step < num_warmup:
        return (step + 1) / num_warmup
    if settings.schedule == "constant":
        return 1.0
    done = (step - num_warmup) / max(1, num_steps - num_warmup)
    return 1 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))

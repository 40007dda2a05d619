"""What may be lost beside general text: common sense, facts, behaviour. model → skills_<side>.json → shares.

The trained model is asked only for the facts that the base knew, and behaviour is looked at in the trained model alone:
a base model has none.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ishibumi.artifacts import read_json, write_json
from ishibumi.exam.behaviour import behave
from ishibumi.exam.choices import Choice, answer_choices
from ishibumi.exam.interval import interval, paired_difference
from ishibumi.exam.known import Fact, answer_facts
from ishibumi.models.load import LoadedModel
from ishibumi.settings import ExamSettings


@dataclass(frozen=True)
class Skills:
    """What is asked beside the exam's questions."""

    choices: tuple[Choice, ...] = ()
    facts: tuple[Fact, ...] = ()


def path_of(directory: Path, side: str) -> Path:
    """Where a side's answers are kept."""
    return directory / f"skills_{side}.json"


def measure_skills(model: LoadedModel, skills: Skills, side: str, settings: ExamSettings, directory: Path) -> None:
    """Ask what there is to ask of this side, and write it into `directory`."""
    known = _read(directory, "before").get("facts")
    facts = [fact for fact in skills.facts if known is None or known.get(fact.id)]
    found: dict[str, Any] = {
        "choices": answer_choices(model, skills.choices, settings.shots) if skills.choices else {},
        "facts": answer_facts(model, facts, settings) if facts else {},
        "behaviour": behave(model, settings) if settings.behaviour and side == "after" else {},
    }
    write_json(path_of(directory, side), found)


def summarise_skills(directory: Path) -> dict[str, Any]:
    """The shares, with intervals over questions; what was not asked is left out.

    {"choices": {"n": 300, "before": 0.41, "after": 0.40, "difference": {"mean": -0.01, "low": …, "high": …}},
     "facts": {"n": 52, "after": {"mean": 0.9, "low": …, "high": …}},
     "behaviour": {"n": 24, "stops": 1.0, "language": 1.0, "form": 0.5}}
    """
    before, after = _read(directory, "before"), _read(directory, "after")
    found: dict[str, Any] = {}
    if both := [i for i in before.get("choices", {}) if i in after.get("choices", {})]:
        first, second = ([float(of["choices"][i]) for i in both] for of in (before, after))
        difference = asdict(paired_difference(second, first, both))
        found["choices"] = {
            "n": len(both), "before": _share(first), "after": _share(second), "difference": difference,
        }  # fmt: skip
    if facts := after.get("facts"):
        found["facts"] = {"n": len(facts), "after": asdict(interval([float(x) for x in facts.values()], list(facts)))}
    if rows := after.get("behaviour"):
        names = ("stops", "language", "form")
        found["behaviour"] = {"n": len(rows), **{n: _share([row[n] for row in rows.values()]) for n in names}}
    return found


def _read(directory: Path, side: str) -> Mapping[str, Any]:
    path = path_of(directory, side)
    return read_json(path) if path.exists() else {}


def _share(right: list[float]) -> float:
    return sum(right) / len(right)

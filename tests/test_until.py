"""Train until it knows: the next pass follows from what was measured, and a stopped run makes the same passes."""

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from test_pipeline import call, write_project

from ishibumi import artifacts
from ishibumi.asking import sample
from ishibumi.errors import Stopped
from ishibumi.knowledge.items import Item
from ishibumi.training.stage import Mix, run_stage
from ishibumi.training.tokens import Source
from ishibumi.training.until import NAME, Measured, Passes, pass_examples, plan_of_passes

DOCUMENTS = ("a", "b", "c", "d")
TEXTS = [(name, f"{name} wording {n}, of like length.") for name in DOCUMENTS for n in range(12)]
EXAMPLES = [
    *(tiny.example(text, "view", document_id=name) for name, text in TEXTS),
    *(tiny.example(f"replay {n}", "replay") for n in range(5)),
]
OWN: tuple[Source, ...] = ("view",)
SHARES: dict[Source, float] = {"replay": 0.1}


def measured(**recalls: float) -> Measured:
    return Measured(recalls, sum(recalls.values()) / max(1, len(recalls)), None)


def test_failing_documents_get_more_and_their_unseen_wordings_first(tmp_path: Path) -> None:
    store = tiny.plan_of(EXAMPLES, tmp_path, tiny.settings()).store
    used = Counter(range(0, 48, 2))  # every second wording has been seen
    size = int(store.lengths[0])
    recalls = {"a": 1.0, "b": 0.0, "c": 0.5}  # d was not asked: it counts as the mean, 0.5
    order = pass_examples(store, OWN, SHARES, recalls, used, 29 * size, np.random.default_rng(1))
    of = Counter(store.document_ids[i] for i in order)
    assert (of["a"], of["b"]) == (3, 10) and {of["c"], of["d"]} <= {6, 7}
    first_of_b = [i for i in order if store.document_ids[i] == "b"]
    assert sum(i not in used for i in first_of_b) == 6 and len(set(first_of_b)) == 10
    replay = sum(int(store.lengths[i]) for i in order if store.document_ids[i].startswith("doc-"))
    assert replay == pytest.approx(0.1 * 29 * size, abs=10)


def test_passes_have_the_plain_plans_rows_and_depend_on_nothing_else(tmp_path: Path) -> None:
    plain = tiny.plan_of(EXAMPLES, tmp_path, tiny.settings(epochs=3))
    known = [measured(), measured(a=1, b=0), measured(a=0, b=1), measured()]
    plans = [plan_of_passes(plain, OWN, SHARES, 4, known[:n]) for n in (1, 2, 3, 4)]
    for shorter, longer in itertools.pairwise(plans):
        assert longer.rows[: len(shorter.rows)] == shorter.rows
    whole = plans[-1]
    assert plans[0].rows == plain.rows[: len(plans[0].rows)] and len(whole.rows) == len(plain.rows)
    assert all(plan.total_steps == plain.num_steps for plan in plans) and whole.epoch_rows[-1] == len(plain.rows)
    assert plain.num_tokens(whole.rows) == pytest.approx(plain.num_tokens(plain.rows), rel=0.05)
    other = plan_of_passes(plain, OWN, SHARES, 4, [known[0], measured(a=0, b=1), *known[2:]])
    assert other.rows != whole.rows and other.rows[: len(plans[0].rows)] == plans[0].rows


def test_passes_end_at_the_recall_or_at_the_budget_and_say_which() -> None:
    passes = Passes(3, lambda n: measured(), 0.8, 1.1)
    before = Measured({}, 0.0, 10.0)
    assert passes.reason_to_end([before, Measured({}, 0.7, 10.9)]) == ""
    assert passes.reason_to_end([before, Measured({}, 0.8, 10.9)]) == "recall 80% has reached cpt.target_recall = 80%"
    over = passes.reason_to_end([before, Measured({}, 0.9, 11.5)])
    assert over == "perplexity ratio 1.150 is over cpt.max_perplexity_ratio = 1.1"
    assert passes.reason_to_end([before] * 4) == "all passes are done"


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_stopped_run_measures_and_trains_the_same(
    stop_after: int, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = tiny.settings(targets=["q_proj", "up_proj"], warmup_share=0.2, epochs=1, tokens_per_step=256)

    def stage(where: Path, stop: int | None) -> tuple[dict[str, Any], list[int]]:
        where.mkdir(exist_ok=True)
        model, steps, asked = tiny.load(model_dir("llama")), list[int](), list[int]()

        def measure(number: int) -> Measured:
            asked.append(number)
            weights = sum(float(p.detach().double().abs().sum()) for p in model.network.parameters())
            return measured(a=weights % 1, b=0.5)

        manifest = run_stage(
            model, EXAMPLES, Mix(OWN, SHARES), settings, where, seed=1, on_step=lambda r: steps.append(r.step),
            should_stop=lambda: len(steps) == stop, passes=Passes(3, measure, None, None),
        )  # fmt: skip
        return manifest, asked

    manifest, asked = stage(tmp_path / "whole", None)
    assert asked == [0, 1, 2, 3] and manifest["ended"] == "all passes are done"
    with pytest.raises(Stopped):
        stage(tmp_path / "stopped", stop_after)
    again, asked_again = stage(tmp_path / "stopped", None)
    ends = manifest["epoch_steps"]
    assert asked_again == [n for n in (1, 2, 3) if ends[n - 1] >= stop_after] and ends[0] > 1
    assert again["recall_by_pass"] == manifest["recall_by_pass"]
    files = [tmp_path / name / "adapter" / "adapter_model.safetensors" for name in ("whole", "stopped")]
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = [artifacts.read_jsonl(tmp_path / name / NAME) for name in ("whole", "stopped")]
    assert rows[0] == rows[1]


def test_every_document_is_asked_as_often_as_any_other() -> None:
    sizes = {"a": 9, "b": 2, "c": 9}
    items = [Item(name, "question", "r", f"{name}{n}?", "x") for name, size in sizes.items() for n in range(size)]
    drawn = sample(items, 8, "1 1")
    assert Counter(i.document_id for i in drawn) == {"a": 3, "b": 2, "c": 3} and len(set(drawn)) == 8
    assert drawn == sample(items, 8, "1 1") != sample(items, 8, "1 2")


def test_a_run_in_passes_says_what_it_knew_and_why_it_ended(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    path = write_project(tmp_path, model_dir("gemma3"))
    flags = ("--set", "cpt.passes=2", "--set", "cpt.max_perplexity_ratio=100", "--set", "cpt.asked=5")
    code, _, err = call("run", path, *flags, "--set", 'exam.arms=["engraved"]')
    assert code == 0, err
    rows = artifacts.read_jsonl(tmp_path / "run" / "cpt" / NAME)
    assert len(rows) == 3 and rows[0]["recalls"] == {} and set(rows[2]["recalls"]) == {"a", "b", "c"}
    assert all(row["perplexity"] > 1 for row in rows)
    assert "ended because all passes are done" in err
    page = (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "Training questions answered after each pass: 0% → 0%." in page
    code, _, err = call("cpt", path, "--set", "cpt.target_recall=0.9")
    assert code == 2 and "cpt.passes is 1" in err
    code, _, err = call("cpt", path, *flags, "--set", "knowledge.generator=none")
    assert code == 2 and "none were made" in err
    code, _, err = call("cpt", path, *flags, "--set", "replay.paths=[]")
    assert code == 2 and "there are 0" in err

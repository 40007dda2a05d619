"""Sweeps on a tiny model: what trials share is made once, what is finished stays, and the front is the front."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from test_pipeline import call, write_project

from ishibumi import artifacts
from ishibumi.errors import UsageError
from ishibumi.exam.interval import Interval
from ishibumi.exam.sweep_page import Point, point_of, render_sweep, table_of, with_front
from ishibumi.sweep import begin, sweep_grid
from ishibumi.sweep_plan import Axis, grid, read_axes, trial_name
from ishibumi.sweep_search import sweep_search

SMALL = {"exam.max_new_tokens": "2", "exam.training_questions": "0", "cpt.max_tokens": "1024", "sft.epochs": "0"}


def project(tmp_path: Path, base: Path) -> Path:
    return write_project(tmp_path, base)


def made(directory: Path, stage: str) -> list[str]:
    return [p.name for p in (directory / "stages").glob(f"{stage}-*") if not p.name.endswith(".lock")]


def point(learned: float, forgotten: float, **settings: str) -> Point:
    return Point(
        settings, (), Interval(learned, learned - 0.1, learned + 0.1), forgotten, ((forgotten, learned),), 1, {}
    )


def test_axes_are_values_or_ranges_and_lists_stay_whole() -> None:
    axes = read_axes(["cpt.rank=32, 64,32", 'cpt.targets=["q_proj","v_proj"],["q_proj"]', "cpt.schedule=linear,cosine"])
    assert [axis.values for axis in axes] == [
        ("32", "64"), ('["q_proj","v_proj"]', '["q_proj"]'), ("linear", "cosine"),
    ]  # fmt: skip
    assert read_axes(["cpt.learning_rate=1e-4..1e-3", "cpt.rank=8..64"]) == [
        Axis("cpt.learning_rate", (), (1e-4, 1e-3)), Axis("cpt.rank", (), (8, 64), is_whole=True),
    ]  # fmt: skip
    assert grid(axes[::2])[1:3] == [
        {"cpt.rank": "32", "cpt.schedule": "cosine"},
        {"cpt.rank": "64", "cpt.schedule": "linear"},
    ]


@pytest.mark.parametrize("argument", ["cpt.rank", "=1,2", "cpt.rank=", "cpt.rank=1,,2", "cpt.rank=64..8"])
def test_an_axis_that_cannot_be_read_is_refused(argument: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"«{argument}»")):
        read_axes([argument])
    with pytest.raises(UsageError, match="is a range, from which a grid"):
        grid(read_axes(["cpt.rank=1..2"]))
    with pytest.raises(UsageError, match=r"cpt\.rank is swept twice"):
        read_axes(["cpt.rank=1", "cpt.rank=2"])


def test_a_sweep_is_no_work_for_torchrun(
    tmp_path: Path, model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, out, err = call("sweep", project(tmp_path, model_dir("llama")), "cpt.rank=4,8")
    assert (code, out) == (2, "") and "started by torchrun" in err and "--parallel" in err


def test_a_trial_is_named_after_its_settings() -> None:
    assert trial_name({"cpt.rank": "32", "seed": "1"}) == "cpt.rank=32,seed=1"
    names = {trial_name({"documents.prefix_ja": text}) for text in ("あ/い", "あ_い", "x" * 200, "x" * 201)}
    assert len(names) == 4 and all("/" not in name and len(name) < 120 for name in names)


def test_the_front_is_what_no_other_beats_in_both() -> None:
    points = [point(0.5, 1.2), point(0.6, 1.1), point(0.3, 1.0), point(0.6, 1.3), point(0.2, 1.0), point(0.6, 1.1)]
    front = [(p.learned.mean, p.forgotten) for p in with_front(points) if p.is_front]
    assert front == [(0.6, 1.1), (0.6, 1.1), (0.3, 1.0)]
    assert with_front(points)[0].score(1.05) == pytest.approx(0.55)


def test_a_run_without_the_figures_of_a_point_is_refused_by_its_own_name(tmp_path: Path) -> None:
    def run(name: str, arms: list[str], ratios: dict[str, float]) -> Path:
        (tmp_path / name / "report").mkdir(parents=True)
        all_of_it = {"contains": {"mean": 0.5, "low": 0.4, "high": 0.6}, "stopped": 1.0}
        arm = {"all": all_of_it, "by_split": {}, "split": "held_out"}
        summary = {"arms": dict.fromkeys(arms, arm), "perplexity_ratio": ratios, "seconds": {"cpt": 60}, "skills": {}}
        artifacts.write_json(tmp_path / name / "report" / "summary.json", summary)
        return tmp_path / name

    whole, unmeasured = run("whole", ["engraved"], {"en": 1.1}), run("unmeasured", ["engraved"], {})
    found = point_of({}, [whole, tmp_path / "unfinished"])
    assert found and (found.run_dirs, found.forgotten) == ((whole,), 1.1)
    assert point_of({}, [tmp_path / "unfinished"]) is None
    with pytest.raises(UsageError, match=r"unmeasured has no measure of forgetting\.$") as caught:
        point_of({}, [whole, unmeasured])
    assert "exam.general" in caught.value.hint and caught.value.hint_ja
    with pytest.raises(UsageError, match=r"unasked has no exam of the engraved model\.$"):
        point_of({}, [whole, run("unasked", ["base"], {})])


def test_the_picture_holds_every_point_in_both_languages_and_loads_nothing() -> None:
    points = with_front([point(0.5, 1.2, **{"cpt.rank": "<b>"}), point(0.3, 1.01, **{"cpt.rank": "8"})])
    page = render_sweep(points, 1.1, "ja")
    assert page.count("<title>rank &lt;b&gt;</title>") == 2 == page.count('class="budget"')
    assert "覚えた量と忘れた量" in page and "Learned against forgotten" in page
    assert not re.search(r"https?://|<img|url\(", page)
    rows = table_of(points, "en")[1]
    assert [row[:3] for row in rows] == [["★ rank <b>", "50 % (40-60)", "1.200"], ["★ rank 8", "30 % (20-40)", "1.010"]]


def test_a_grid_shares_stages_goes_on_and_tells_what_failed(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    path = project(tmp_path, model_dir("llama"))
    flags = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    assert call("run", path, *flags)[0] == 0
    code, out, err = call("sweep", path, "cpt.rank=4,8", "exam.scale=1.0,0.5", *flags)
    directory = tmp_path / "run" / "sweep"
    assert (code, out) == (0, f"{directory}\n"), err
    counts = [len(made(directory, stage)) for stage in ("corpus", "knowledge", "cpt", "sft", "before", "exam")]
    assert counts == [1, 1, 2, 2, 2, 5]  # in before and exam that of the run itself, which has more arms
    own = artifacts.load(tmp_path / "run" / "cpt").fingerprint[:16]  # rank 4 is the settings' own
    assert (directory / "stages" / f"cpt-{own}").is_symlink()
    lines = [line.split("\t") for line in (directory / "sweep.tsv").read_text(encoding="utf-8").splitlines()]
    assert lines[0][:4] == ["cpt.rank", "exam.scale", "seeds", "learned"] and len(lines) == 5
    assert {tuple(line[:2]) for line in lines[1:]} == {(r, s) for r in ("4", "8") for s in ("1.0", "0.5")}
    assert "yes" in {line[lines[0].index("front")] for line in lines[1:]} and "★" in err
    whole, half = (directory / "trials" / f"cpt.rank=4,exam.scale={s},seed=1" for s in ("1.0", "0.5"))
    ratios = [artifacts.read_json(d / "report" / "summary.json")["perplexity_ratio"]["ja"] for d in (whole, half)]
    assert abs(ratios[0] - 1) > abs(ratios[1] - 1) > 0
    page = (directory / "sweep.html").read_bytes()
    code, _, err = call("sweep", path, "cpt.rank=4,8", "exam.scale=1.0,0.5", *flags)
    assert code == 0 and not re.search(r"^▶", err, re.M) and (directory / "sweep.html").read_bytes() == page
    code, out, err = call("sweep", path, "cpt.learning_rate=1e-40,1e-3", *flags)
    assert (code, out) == (1, f"{directory}\n") and "1 of 2 trials failed" in err and "cpt.learning_rate=1e-40:" in err
    code, _, err = call("sweep", path, "cpt.ranc=4,8", *flags)
    assert code == 2 and "cpt.rank" in err


def test_trials_in_processes_of_their_own_give_the_same(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    shares: list[list[tuple[float, float]]] = []
    for name, parallel in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        begun = begin(project(tmp_path / name, model_dir("llama")), SMALL, 2)
        result = sweep_grid(begun, [{"cpt.rank": "4"}], parallel=parallel)
        assert [outcome.state for outcome in result.outcomes] == ["done", "done"]
        shares.append(list(result.points[0].each))
    assert shares[0] == shares[1] and len(set(shares[0])) == 2  # two seeds, which differ


def test_a_search_prunes_goes_on_and_counts_what_is_done(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    begun = begin(project(tmp_path, model_dir("llama")), {**SMALL, "cpt.max_tokens": "6000"}, 1)
    axes = read_axes(["cpt.learning_rate=1e-6..1e-1"])
    result = sweep_search(begun, axes, 7)
    assert len(result.outcomes) == 7
    pruned = [o for o in result.outcomes if o.state == "pruned"]
    assert pruned and len(result.points) == 7 - len(pruned)
    assert all(not (begun.run_of(o.chosen, 1).run_dir / "report").exists() for o in pruned)
    assert not sweep_search(begun, axes, 7).outcomes
    assert len(sweep_search(begun, axes, 8).outcomes) == 1

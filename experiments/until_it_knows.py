"""Passes that follow what the model knows against the plain schedule, at equal tokens. Settings → a table.

python experiments/until_it_knows.py SETTINGS.toml [--passes 4] [--seeds 3] [KEY=VALUE …]

It is a sweep over cpt.passes in the settings' run_dir, so it goes on where it stopped, and uses all GPUs. The
difference is that of the exam's answers on the same questions and seeds, with a 95 % interval over documents. Passes
are worth their time only if it is above zero where the perplexity ratio is not worse.
"""

import argparse
from pathlib import Path

from ishibumi.artifacts import load
from ishibumi.corpus.read import load_documents
from ishibumi.exam.interval import paired_difference
from ishibumi.exam.questions import GENERATED, HELD_OUT, REVERSED
from ishibumi.exam.sit import load_answers
from ishibumi.exam.sweep_page import table_of
from ishibumi.exam_stage import exam_questions
from ishibumi.sweep import Sweep, begin, sweep_grid
from ishibumi.sweep_workers import visible_gpus


def main() -> None:
    """Run both, print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_intermixed_args()
    sweep = begin(options.settings, dict(pair.split("=", 1) for pair in options.overrides), options.seeds)
    plain, until = {"cpt.passes": "1"}, {"cpt.passes": str(options.passes)}
    result = sweep_grid(sweep, [plain, until], parallel=max(1, len(visible_gpus())))
    header, rows = table_of(result.points, "en")
    print("\n".join("\t".join(row) for row in [header, *rows]))
    for seed in sweep.seeds:
        manifests = [load(sweep.run_of(chosen, seed).run_dir / "cpt").manifest for chosen in (plain, until)]
        print(
            f"seed {seed}: tokens {[m['tokens'] for m in manifests]}, recall by pass {manifests[1]['recall_by_pass']}"
        )
    for split in (HELD_OUT, GENERATED, REVERSED):
        print(split, difference(sweep, plain, until, split))
    result.refuse_failed(sweep.directory)


def difference(sweep: Sweep, plain: dict[str, str], until: dict[str, str], split: str) -> str:
    """«+3.1 points (-0.4 to 6.5)», passes minus plain, all seeds together."""
    scores: list[list[float]] = [[], []]
    documents: list[tuple[str, ...]] = []
    for seed in sweep.seeds:
        run = sweep.run_of(plain, seed)
        asked = {q.id: q for q in exam_questions(run, load_documents(run.run_dir / "corpus")) if q.split == split}
        for of_scores, chosen in zip(scores, (until, plain), strict=True):
            answers = load_answers(sweep.run_of(chosen, seed).run_dir / "exam")
            right = {a.question_id: float(a.contains) for a in answers if a.arm == "engraved"}
            of_scores += [right[question_id] for question_id in asked]
        documents += [question.document_ids for question in asked.values()]
    if not documents:
        return "not asked"
    found = paired_difference(*scores, documents)
    return f"{100 * found.mean:+.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f}), n = {len(documents)}"


if __name__ == "__main__":
    main()

"""How much to keep of what a run learned: base + λ · (finished − base), without training again. RUN → a table.

python experiments/scale.py SETTINGS.toml RUN_DIR 0.8 0.9 1.0

λ is chosen by the training questions that are still answered and by perplexity; the exam stands beside it.
"""

import json
import sys
from pathlib import Path

import torch
from variants import perplexities

from ishibumi.config import load
from ishibumi.corpus.read import load_documents
from ishibumi.exam.evaluate import run_arm
from ishibumi.exam.questions import HELD_OUT, TRAINING
from ishibumi.exam.sit import load_perplexities
from ishibumi.models.load import load_finished, load_model
from ishibumi.pipeline import exam_questions


@torch.no_grad()
def main() -> None:
    """Print a row for every λ."""
    run = load(Path(sys.argv[1]), {"run_dir": str(Path(sys.argv[2]).absolute())})
    base = load_model(run.settings.model, run.base_dir).network.state_dict()
    documents = {d.id: d for d in load_documents(run.run_dir / "corpus")}
    questions = [q for q in exam_questions(run, list(documents.values())) if q.split in (HELD_OUT, TRAINING)]
    before = {k: v.value for k, v in load_perplexities(run.run_dir / "exam")["before"].items()}
    for scale in map(float, sys.argv[3:]):
        model = load_finished(run.settings.model, run.run_dir)
        for name, weight in model.network.named_parameters():
            weight.copy_(torch.lerp(base[name].float(), weight.float(), scale))
        answers = run_arm("engraved", model, questions, documents, run.settings.exam)
        right = {
            split: [a.contains for a, q in zip(answers, questions, strict=True) if q.split == split]
            for split in (TRAINING, HELD_OUT)
        }
        shares = {split: round(sum(of) / len(of), 3) for split, of in right.items()}
        ratios = {k: round(v / before[k], 3) for k, v in perplexities(run, model).items()}
        print(json.dumps({"scale": scale, **shares, "perplexity_ratio": ratios}), flush=True)


if __name__ == "__main__":
    main()

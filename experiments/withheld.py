"""What withholding the least sure replies would do. Answers of variants.py → JSON lines, one for each variant.

python experiments/withheld.py OUT.answers.jsonl

Of the exam's questions in other words: below which confidence 3, 10 and 20 % of the right replies lie, and which share
of the wrong ones and of the replies to questions without an answer lies there too.
"""

import json
import math
import sys
from collections import defaultdict
from pathlib import Path

from ishibumi.artifacts import read_jsonl
from ishibumi.exam.calibration import withheld
from ishibumi.exam.questions import UNANSWERABLE


def main() -> None:
    """Print the rows."""
    found: dict[tuple[str, float], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in read_jsonl(Path(sys.argv[1])):
        if row.get("mean_logprob") is None:
            continue
        split, is_right = row["answer"][0], row["answer"][4]
        group = "unanswerable" if split == UNANSWERABLE else "right" if is_right else "wrong"
        if split in (UNANSWERABLE, "held_out"):
            found[row["variant"], row["kept"]][group].append(math.exp(row["mean_logprob"]))
    for (variant, kept), groups in sorted(found.items()):
        rows = withheld(groups["right"], groups["wrong"], groups["unanswerable"])
        counts = {f"num_{name}": len(groups[name]) for name in ("right", "wrong", "unanswerable")}
        print(json.dumps({"variant": variant, "kept": kept, **counts, "withheld": rows}))


if __name__ == "__main__":
    main()

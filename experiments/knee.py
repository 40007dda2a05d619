"""The picture of recall against generated text: rows of variants.py with times=… → an SVG file.

python experiments/knee.py experiments/2026-11-26-larger/knee.jsonl 21.5 docs/images/knee.svg

The second argument is how many times the documents' length all items are (times=inf).
"""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 360, 60, 56, 24, 24
INK, GREY, BLUE = "#24292f", "#8c959f", "#0969da"


def main() -> None:
    """Read the rows and write the picture."""
    source, most, target = Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    points = sorted((times_of(row, most), row["all"]) for row in rows if row["kept"] == min(r["kept"] for r in rows))
    target.write_text(picture(points), encoding="utf-8")


def times_of(row: dict[str, Any], most: float) -> float:
    """How often the documents' length the items were."""
    found = re.search(r"times=(\S+)", row["variant"])
    assert found
    return min(float(found[1]), most)


def picture(points: list[tuple[float, dict[str, float]]]) -> str:
    """Shares right with their intervals over times the documents' length, which is on a logarithmic axis."""
    last = math.log(max(times for times, _ in points) * 1.3)

    def x(times: float) -> float:
        return LEFT + 20 + (WIDTH - LEFT - RIGHT - 40) * math.log(times) / last

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        '<title>Answers right over the amount of generated text</title><rect width="100%" height="100%" fill="#fff"/>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path d="M{LEFT} {y(share)}H{WIDTH - RIGHT}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(share) + 4}" text-anchor="end" fill="{INK}">{share:.0%}</text>')
    line = " ".join(f"{x(times):.1f},{y(of['mean']):.1f}" for times, of in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="2"/>')
    for times, of in points:
        at, mean = f"{x(times):.1f}", y(of["mean"])
        parts += [
            f'<path d="M{at} {y(of["low"]):.1f}V{y(of["high"]):.1f}" stroke="{BLUE}" stroke-width="2"/>',
            f'<circle cx="{at}" cy="{mean:.1f}" r="4" fill="{BLUE}"/>',
            f'<text x="{at}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle" fill="{INK}">{times:g}×</text>',
            f'<text x="{x(times) + 9:.1f}" y="{mean + 14:.1f}" fill="{INK}">{of["mean"]:.0%}</text>',
        ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    below = "questions and answers, times the documents' length / 文書の何倍の問答か"
    parts.append(f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle" fill="{GREY}">{below}</text></svg>')
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()

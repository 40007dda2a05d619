"""How the corpus stage scales: N generated articles of about 1.5 kB in Parquet → speed, memory, near duplicates found.

    python experiments/corpus_throughput.py [--articles 100000] [--near 0.35] [--only again,near,tokens,kill,shards]

Every tenth article is an earlier one of which 5 to 20 % of the words are replaced, removed or doubled. Each step runs
`ishibumi` in a process of its own. «core» is a second of one core (the machine may be busy), memory is the peak of all
processes of the step together.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

WORDS = (
    "南町", "図書館", "開館", "市長", "予算", "選手", "決勝", "9月1日", "３０人", "2,000円", "会議", "発表", "計画",
    "道路", "駅前", "公園", "観光", "台風", "研究", "大学", "JR", "ＮＨＫ", "病院", "新聞", "輸出", "工場", "農家",
)  # fmt: skip
LINKS = ("は", "が", "を", "に", "で", "と", "から", "の", "より", "も")
_SYLLABLES = [a + b for a in "bcdfglmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "ing")]
ENGLISH = [x + y for x in _SYLLABLES for y in _SYLLABLES][::3]  # 3,072 words
STEPS = ("clean", "again", "near", "tokens", "kill", "shards")
ROWS_A_FILE = 10_000


def article(number: int) -> dict[str, str]:
    """A title, a date and about 1.5 kB of text: Japanese of ten articles, English of the eleventh."""
    draw = random.Random(number)
    day = f"2024-{draw.randint(8, 12):02}-{draw.randint(1, 28):02}"
    words = _words(number)
    if number % 10 == 9:
        words = edited(_words(original_of(number)), edit_share(number), draw)
    is_english = words[0].isascii()
    title = f"Library {number}" if is_english else f"第{number}回の記事"
    text = " ".join(words) + "." if is_english else "　" + "".join(words) + "である。"
    return {"id": str(number), "title": title, "text": text, "date": day}


def _words(number: int) -> list[str]:
    """The words of an article that is no copy: some 130 with their particles, or 240 in English."""
    draw = random.Random(f"words {number}")
    if number % 11 == 10:
        return ["The", *draw.choices(ENGLISH, k=240)]
    pairs = zip(draw.choices(WORDS, k=130), draw.choices(LINKS, k=130), strict=True)
    return [word + link + "\n" * (n % 12 == 11) for n, (word, link) in enumerate(pairs)]


def original_of(number: int) -> int:
    """The earlier article that a planted one copies."""
    found = random.Random(f"original {number}").randrange(number)
    return found - (found % 10 == 9)


def edit_share(number: int) -> float:
    """Which share of a planted article's words is edited."""
    return random.Random(f"share {number}").uniform(0.05, 0.20)


def edited(words: list[str], share: float, draw: random.Random) -> list[str]:
    """The words, that share of them replaced, removed or doubled."""
    result = list(words)
    for at in draw.sample(range(len(words)), round(share * len(words))):
        other = draw.choice(ENGLISH) if words[at].isascii() else draw.choice(WORDS) + draw.choice(LINKS)
        result[at] = draw.choice(("", other, other, words[at] + other))
    return [word for word in result if word]


def write_file(task: tuple[Path, int, int]) -> int:
    """Write the articles from `start` to `end`; returns the bytes of their texts."""
    path, start, end = task
    num_bytes, writer = 0, None
    for first in range(start, end, 10_000):
        rows = [article(n) for n in range(first, min(first + 10_000, end))]
        num_bytes += sum(len(row["text"].encode()) for row in rows)
        table = pa.Table.from_pylist(rows)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()
    return num_bytes


def generate(folder: Path, num_articles: int) -> int:
    """Write the folder of Parquet files; returns the bytes of all texts."""
    folder.mkdir(parents=True)
    rows = min(ROWS_A_FILE, -(-num_articles // 4))
    starts = range(0, num_articles, rows)
    tasks = [(folder / f"{start:08}.parquet", start, min(start + rows, num_articles)) for start in starts]
    with ProcessPoolExecutor(2) as pool:
        return sum(pool.map(write_file, tasks))


def settings(folder: Path, name: str, near: float | None = None) -> Path:
    """A settings file for the articles since September, with its own run directory."""
    path = folder / f"{name}.toml"
    extra = "" if near is None else f"near_duplicates = {near}\n"
    path.write_text(f'run_dir = "{name}"\n[documents]\npaths = ["articles"]\nsince = 2024-09-01\n{extra}')
    return path


def measured(command: list[str], kill_at: Path | None = None) -> tuple[float, float, float]:
    """(seconds, seconds of a core, peak MB of all its processes); killed with -9 when `kill_at` has three parts."""
    before, started, most = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0.0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        most = max(most, sum(_resident(p) for p in [process, *_children(process)]))
        if kill_at and len(list(kill_at.glob("corpus.parts-*/*.json"))) >= 3:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.1)
    code = process.wait()
    assert code == (-signal.SIGKILL if kill_at else 0), f"{command}: exit code {code}"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu, most / 1e6


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def corpus(path: Path, *more: str) -> list[str]:
    """The command of the corpus stage."""
    return [sys.executable, "-m", "ishibumi", "corpus", str(path), *more]


def tell(step: str, megabytes: float, times: tuple[float, float, float], more: str = "") -> None:
    """One line of the log."""
    seconds, cpu, most = times
    speed = f"{megabytes / seconds:.1f} MB/s, {megabytes / cpu:.1f} MB a core second, " if megabytes else ""
    print(f"{step}: {seconds:.1f} s, {cpu:.1f} core s, {speed}peak {most:.0f} MB {more}", flush=True)


def kept_ids(directory: Path) -> Iterator[int]:
    """The articles that are left."""
    with (directory / "corpus" / "documents.jsonl").open(encoding="utf-8") as lines:
        yield from (int(json.loads(line)["id"].partition("#")[0]) for line in lines)


def sha256(directory: Path) -> str:
    """The hash of a run's documents and reports."""
    digest = hashlib.sha256()
    for name in ("documents.jsonl", "report.json", "reading.json"):
        with (directory / "corpus" / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def near_duplicates_found(directory: Path, num_articles: int) -> str:
    """Recall of the planted copies whose original is in the corpus too, by edit share, and false removals."""
    since = {n for n in range(num_articles) if article_is_since_september(n)}
    kept = set(kept_ids(directory))
    planted = [n for n in sorted(since) if n % 10 == 9 and original_of(n) in since]
    others = [n for n in since if n % 10 != 9]
    shares = {(low, low + 5): [n for n in planted if low <= 100 * edit_share(n) < low + 5] for low in (5, 10, 15)}
    parts = ", ".join(f"{low}-{high} %: {_missing(ns, kept):.1%}" for (low, high), ns in shares.items())
    recall, wrong = _missing(planted, kept), sum(n not in kept for n in others)
    return f"recall {recall:.2%} of {len(planted)} ({parts}); false removals {wrong} of {len(others)}"


def article_is_since_september(number: int) -> bool:
    """Whether the date filter keeps an article."""
    return random.Random(number).randint(8, 12) >= 9


def _missing(numbers: list[int], kept: set[int]) -> float:
    return sum(n not in kept for n in numbers) / max(1, len(numbers))


TOKENS = """
import json, resource, sys, time
from pathlib import Path
from types import SimpleNamespace
from transformers import AutoTokenizer
from ishibumi.corpus.read import iterate_documents
from ishibumi.models.load import find_base
from ishibumi.settings import Settings
from ishibumi.training.batches import make_plan
from ishibumi.training.cpt import cpt_examples
from ishibumi.training.tokens import open_tokens, store_examples
import itertools
corpus, out, count, row_tokens = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
model = SimpleNamespace(tokenizer=AutoTokenizer.from_pretrained(find_base(Settings().model.base, Path())))
documents = lambda: itertools.islice(iterate_documents(corpus), count)
size = sum(len(d.text.encode()) for d in documents())
out.mkdir(parents=True, exist_ok=True)
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start, before = time.process_time(), memory()
store_examples(out, cpt_examples(model, documents(), [], [], [], Settings()), row_tokens)
stored, after = time.process_time() - start, memory()
store = open_tokens(out)
plan = make_plan(store, own=("document",), shares={}, epochs=1, row_tokens=row_tokens, tokens_per_step=8192, seed=1)
packed = time.process_time() - start - stored
padding = 1 - plan.num_tokens(plan.rows) / (len(plan.rows) * row_tokens)
print(f"{count} articles, rows of {row_tokens}: tokenised and stored {size / 1e6 / stored:.1f} MB a core second, "
      f"with packing {size / 1e6 / (stored + packed):.1f}; padding {padding:.2%}; "
      f"peak {after:.0f} MB ({before:.0f} before), with the plan {memory():.0f}; {int(store.lengths.sum())} tokens")
"""


def main() -> None:
    """Generate, run each step, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--near", type=float, default=0.35)
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "ishibumi-corpus")
    options = parser.parse_args()
    steps, folder, count = options.only.split(","), options.folder, options.articles
    shutil.rmtree(folder, ignore_errors=True)
    started = time.perf_counter()
    megabytes = generate(folder / "articles", count) / 1e6
    size = sum(path.stat().st_size for path in (folder / "articles").iterdir()) / 1e6
    load = os.getloadavg()[0]
    print(f"{count} articles, {megabytes:.0f} MB of text, {size:.0f} MB of Parquet, made in "
          f"{time.perf_counter() - started:.0f} s; {os.cpu_count()} cores, load {load:.1f}", flush=True)  # fmt: skip
    plain = settings(folder, "clean")
    tell("clean", megabytes, measured(corpus(plain)), f"→ {sha256(folder / 'clean')}")
    if "again" in steps:
        tell("again", 0, measured(corpus(plain)))
    if "near" in steps:
        times = measured(corpus(settings(folder, "near", options.near)))
        tell("near", megabytes, times, near_duplicates_found(folder / "near", count))
    if "kill" in steps:
        path = settings(folder, "kill")
        tell("killed", 0, measured(corpus(path), kill_at=folder / "kill"))
        tell("gone on", 0, measured(corpus(path)), f"→ {sha256(folder / 'kill')}")
    if "shards" in steps:
        path = settings(folder, "shards")
        for shard in ("2/2", "1/2"):
            tell(f"shard {shard}", 0, measured(corpus(path, "--shard", shard)))
        tell("joined", 0, measured(corpus(path)), f"→ {sha256(folder / 'shards')}")
    samples = ((3_000, 2048), (30_000, 512), (30_000, 2048), (30_000, 8192)) if "tokens" in steps else ()
    for sample, row_tokens in samples:
        arguments = [str(folder / "clean" / "corpus"), str(folder / "tokens"), str(min(sample, count)), str(row_tokens)]
        subprocess.run([sys.executable, "-c", TOKENS, *arguments], check=True, stderr=subprocess.DEVNULL)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

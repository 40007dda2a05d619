"""Checked items of replies that any model wrote, for experiments/variants.py. Corpus folder + replies → items.

python experiments/items_of_replies.py KNOWLEDGE_DIR REPLIES.jsonl OUT.jsonl

KNOWLEDGE_DIR has documents.jsonl; a line of the replies is {"document_id", "kind", "reply"}: to what prompt it replies.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from ishibumi.artifacts import read_jsonl, write_jsonl
from ishibumi.corpus.read import load_documents
from ishibumi.knowledge.ambiguous import without_two_answers
from ishibumi.knowledge.prompts import prompt_for
from ishibumi.knowledge.reply_cache import Request
from ishibumi.knowledge.written import read_replies
from ishibumi.models.generate import Reply


def main() -> None:
    """Write the items, and say what was kept and what was not."""
    directory, replies, out = map(Path, sys.argv[1:4])
    documents = load_documents(directory)
    by_id = {document.id: document for document in documents}
    answered: list[tuple[Request, Reply]] = []
    for n, row in enumerate(read_jsonl(replies)):
        prompt = prompt_for(by_id[row["document_id"]], row["kind"])
        answered.append((Request(str(n), row["document_id"], prompt), Reply(row["reply"], True, 0)))
    written = read_replies("endpoint", documents, answered)
    items = without_two_answers(written.items)
    write_jsonl(out, (asdict(item) for item in items))
    told = {"items": len(items), "kept of made": written.by_kind, "refused": written.refused}
    print(json.dumps(told, ensure_ascii=False))


if __name__ == "__main__":
    main()

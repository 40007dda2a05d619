"""Put replies that lie in files into a run's cache, as if its endpoint had given them. Settings + folder → replies.

python experiments/keep_replies.py SETTINGS.toml FOLDER

FOLDER has the reply to the prompt KIND about the document ID as ID.KIND.txt (the second about it as ID.KIND.2.txt);
--prompts writes there what is to be answered, as ID.KIND.prompt.txt, and nothing else. So the replies of any model can
be used, also one that has no server.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from ishibumi.config import load
from ishibumi.corpus.read import read_documents
from ishibumi.knowledge.reply_cache import load_replies, save_reply
from ishibumi.knowledge.writer_endpoint import check_endpoint
from ishibumi.knowledge.written import _requests
from ishibumi.models.generate import Reply


def main() -> None:
    """Keep every reply of the folder that is not kept yet; tell how many are missing."""
    arguments = [a for a in sys.argv[1:] if a != "--prompts"]
    run, folder = load(Path(arguments[0])), Path(arguments[1])
    settings = run.settings.knowledge
    check_endpoint(settings.endpoint)
    documents = read_documents([run.resolve(p) for p in run.settings.documents.paths], run.settings.documents).documents
    identity = [settings.endpoint.url, settings.endpoint.model]
    requests = _requests("endpoint", documents, settings, identity, run.settings.seed)
    cache = run.base_dir / settings.cache
    kept = load_replies(cache, (r.key for r in requests))
    counts = {"kept before": len(kept), "kept now": 0, "missing": 0}
    named: Counter[str] = Counter()
    for request in requests:
        name = f"{request.document_id}.{request.prompt.kind}"
        named[name] += 1
        name += f".{named[name]}" if named[name] > 1 else ""
        if "--prompts" in sys.argv:
            (folder / f"{name}.prompt.txt").write_text(request.prompt.messages()[0]["content"], encoding="utf-8")
        elif request.key not in kept and not (folder / f"{name}.txt").exists():
            counts["missing"] += 1
        elif request.key not in kept:
            text = (folder / f"{name}.txt").read_text(encoding="utf-8")
            save_reply(cache, request.key, Reply(text, True, len(text.encode()) // 3))
            counts["kept now"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main()

"""Does what training says of forgetting hold for held-out text? Settings + knowledge folder + tokens → both ratios.

python experiments/forgotten.py SETTINGS.toml KNOWLEDGE_DIR 60000 ['cpt.learning_rate=1e-3' …]

Trains cpt with all that it learns kept, and sets what the probe read at the end of the last epoch (texts of replay kept
apart, relative to the start) beside the perplexity of exam.general after and before, per language.
"""

import json
import sys
import tempfile
from pathlib import Path

from ishibumi.config import load
from ishibumi.corpus.chat_data import read_conversations
from ishibumi.corpus.clean import language_of
from ishibumi.corpus.read import load_documents
from ishibumi.corpus.texts import read_texts
from ishibumi.exam.forgetting import perplexity
from ishibumi.knowledge.items import load_items
from ishibumi.models.load import load_model
from ishibumi.training.cpt import cpt_examples, cpt_mix
from ishibumi.training.stage import run_stage


def main() -> None:
    """Train and compare."""
    settings_path, knowledge, num_tokens = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    given = dict(argument.split("=", 1) for argument in sys.argv[4:])
    run = load(settings_path, {"cpt.max_tokens": num_tokens, "cpt.learned_scale": "1.0", **given})
    settings = run.settings
    model = load_model(settings.model, run.base_dir)
    general: dict[str, list[str]] = {}
    for text in read_texts([run.resolve(path) for path in settings.exam.general]):
        general.setdefault(language_of(text), []).append(text)
    before = {language: perplexity(model, texts).value for language, texts in general.items()}
    chats = read_conversations([(run.resolve(s.path), s.count) for s in settings.chat.sources], settings.seed)
    replay = read_texts([run.resolve(path) for path in settings.replay.paths])
    texts = cpt_examples(model, load_documents(knowledge), load_items(knowledge), replay, chats.conversations, settings)
    with tempfile.TemporaryDirectory() as directory:
        made = run_stage(
            model, texts, cpt_mix(settings), settings.cpt, Path(directory), seed=settings.seed,
            on_step=lambda record: None, should_stop=lambda: False,
        )  # fmt: skip
    after = {language: perplexity(model, texts).value for language, texts in general.items()}
    ratios = {language: round(after[language] / before[language], 3) for language in general}
    last = round(made["forgotten"], 3) if made["forgotten"] else None
    print(json.dumps({"tokens": made["tokens"], "probe": last, "held_out": ratios, "steps": made["steps"], **given}))


if __name__ == "__main__":
    main()

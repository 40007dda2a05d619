"""ishibumi: engraves new knowledge into a text-generation model, and proves what it learned.

    import ishibumi as ib
    ib.run(ib.load_settings("ishibumi.toml"))

The command line's verbs as functions; each name is imported when it is first used, so that importing ishibumi is light.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_settings": ("ishibumi.config", "load"),
    "read_documents": ("ishibumi.corpus.read", "read_documents"),
    "make_items": ("ishibumi.knowledge.generator", "make_items"),
    "check": ("ishibumi.checking", "check"),
    "run": ("ishibumi.pipeline", "run"),
    "build_corpus": ("ishibumi.corpus_stage", "build_corpus"),
    "make_knowledge": ("ishibumi.knowledge_stage", "make_knowledge"),
    "continue_pretraining": ("ishibumi.training_stages", "continue_pretraining"),
    "tune_chat": ("ishibumi.training_stages", "tune_chat"),
    "evaluate": ("ishibumi.pipeline", "evaluate"),
    "write_report": ("ishibumi.pipeline", "write_report"),
    "load_finished": ("ishibumi.models.load", "load_finished"),
    "generate_replies": ("ishibumi.models.generate", "generate_replies"),
    "chat": ("ishibumi.use.chat", "chat"),
    "show": ("ishibumi.use.show", "show"),
    "export": ("ishibumi.use.export", "export"),
    "fetch_model": ("ishibumi.models.fetch", "fetch_model"),
}

__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ishibumi' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)

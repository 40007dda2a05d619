"""What a person sees: plain lines without a terminal, errors in the user's language, the exam's table."""

import io
from dataclasses import dataclass

import pytest

from ishibumi.display import Display, duration, user_language
from ishibumi.errors import InputError


@dataclass(frozen=True)
class Record:
    step: int
    num_steps: int
    tokens: int
    loss: float
    seconds: float
    utilisation: float | None = None
    peak_bytes: int = 1_200_000_000
    known: float | None = None


def shown(language: str = "en") -> tuple[Display, io.StringIO]:
    stream = io.StringIO()
    return Display(stream, language=language, width=100), stream


def test_the_locale_decides_the_language() -> None:
    assert user_language({"LANG": "ja_JP.UTF-8"}) == "ja"
    assert user_language({"LANG": "ja_JP.UTF-8", "LC_ALL": "C.UTF-8"}) == "en"
    assert user_language({"LANG": "en_US.UTF-8", "LC_ALL": "ja_JP.UTF-8"}) == "ja"
    assert user_language({"LC_ALL": "", "LC_MESSAGES": "ja_JP", "LANG": "C"}) == "ja"
    assert user_language({}) == "en"


def test_times_are_told_in_two_units() -> None:
    assert [duration(s) for s in (0.4, 59.4, 59.6, 200, 7500)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "3 min 20 s",
        "2 h 5 min",
    ]


def test_an_error_is_printed_whole_with_the_hint_of_the_language() -> None:
    error = InputError("a/very/long/path.jsonl:3: [cpt] " + "x" * 200, hint="Do this.", hint_ja="こうしてください。")
    display, stream = shown("en")
    display.show_error(error)
    assert stream.getvalue() == f"ishibumi: {error.message}\nWhat to do: Do this.\n"
    display, stream = shown("ja")
    display.show_error(error)
    assert stream.getvalue() == f"ishibumi: {error.message}\n対処: こうしてください。\n"


def test_stages_tell_what_they_do_and_what_came_out() -> None:
    display, stream = shown()
    display.stage_started("corpus")
    left_out = {"empty": 1, "duplicate": 2}
    display.stage_finished("corpus", {"seconds": 61, "documents": 1200, "left_out": left_out}, reused=False)
    display.stage_finished("cpt", {"seconds": 61, "steps": 3, "loss_last": 0.12345}, reused=True)
    assert stream.getvalue().splitlines() == [
        "▶ corpus     reading, cleaning and dating the documents",
        "✓ corpus     1 min 1 s  documents 1,200, left out 3 (empty 1, duplicate 2)",
        "✓ cpt        unchanged  steps 3, last loss 0.123",
    ]


def test_without_a_terminal_training_shows_a_line_now_and_then_and_the_last_one() -> None:
    display, stream = shown()
    display.stage_started("cpt")
    for step in range(1, 101):
        display.step(
            "cpt",
            Record(step, 100, tokens=step * 2000, loss=3 - step / 50, seconds=4.0, utilisation=0.413, known=0.628),
        )
    assert stream.getvalue().splitlines()[1:] == [
        "  cpt        step 100/100  loss 1.000  known 63 %  500 tokens/s  MFU 41 %  1.2 GB  left 0 s"
    ]


def test_the_time_left_follows_from_the_last_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ishibumi.display.SECONDS_BETWEEN_LINES", 0.0)
    display, stream = shown("ja")
    # Taken up again at step 41: how many tokens that step had alone is not known.
    for step in (41, 42, 43):
        display.step("cpt", Record(step, 100, tokens=step * 1000, loss=2.5, seconds=2.0))
    assert stream.getvalue().splitlines() == [
        "  cpt        ステップ 41/100  損失 2.500",
        "  cpt        ステップ 42/100  損失 2.500  500 トークン/秒  1.2 GB  残り 1 min 56 s",
        "  cpt        ステップ 43/100  損失 2.500  500 トークン/秒  1.2 GB  残り 1 min 54 s",
    ]


def test_ctrl_c_lets_training_finish_its_step_and_stops_anything_else_at_once() -> None:
    display, stream = shown()
    display.stage_started("cpt")
    display.ask_to_stop()
    assert display.should_stop()
    display.step("cpt", Record(1, 100, 2000, 3.0, 4.0))
    assert stream.getvalue().endswith("■ stopping: writing a checkpoint\n")
    with pytest.raises(KeyboardInterrupt):
        display.ask_to_stop()
    display, _ = shown()
    display.stage_started("exam")
    with pytest.raises(KeyboardInterrupt):
        display.ask_to_stop()
    assert not display.should_stop()


def test_a_table_has_a_line_a_row_with_its_cells_apart() -> None:
    display, stream = shown()
    display.table("The exam", ["arm", "right"], [["engraved", "63 % (57-69)"], ["base [few-shot]", "-"]])
    rows = [line.split("│") for line in stream.getvalue().splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["engraved", "63 % (57-69)"],
        ["base [few-shot]", "-"],
    ]


def test_a_terminal_gets_one_live_line_that_leaves_nothing_behind() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Display(stream, language="en", width=100) as display:
        display.step("cpt", Record(1, 2, 2000, 3.0, 4.0))
        display.note("after")
    assert "step 1/2  loss 3.000" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("\x1b[2K")  # the live line is wiped at the end

"""The page in a real browser: a person asks, reads, follows a run, and nothing that a model says becomes code."""

import base64
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from test_pipeline import write_project
from test_serve import serving
from test_trust import give_pools

from ishibumi import config, pipeline
from ishibumi.artifacts import read_jsonl, write_jsonl
from ishibumi.config import Run
from ishibumi.exam.share_right import Pool
from ishibumi.use.serve_reply import Reply, Token

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium: apt-get install chromium chromium-driver"
)
REPLY = "【スペインが優勝】«トーレスが106分に得点。» <script>document.title = 'run'</script><b>トーレス</b>"
SEEN = "<script>document.title = 'run'</script><b>トーレス</b>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model_dir: Callable[[str], Path]) -> Run:
    """A finished run, of which one reply of the exam is hostile."""
    found = config.load(write_project(tmp_path_factory.mktemp("project"), model_dir("gemma3")))
    pipeline.run(found)
    path = found.run_dir / "exam" / "answers_engraved.jsonl"
    rows = read_jsonl(path)
    rows[0] |= {"reply": SEEN, "cited": "スペインが優勝", "quoted": "トーレスが106分に得点。"}
    write_jsonl(path, rows)
    return found


@pytest.fixture(scope="module")
def port(run: Run) -> Iterator[int]:
    with serving(run) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium, in Japanese."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"intl.accept_languages": "ja"})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield found
    found.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, port: int) -> Iterator[webdriver.Chrome]:
    """The page, loaded anew; at the end nothing may have been complained about."""
    opened(browser, port)
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []  # violations of the policy are told here


def opened(browser: webdriver.Chrome, port: int, view: str = "ask") -> None:
    browser.get("about:blank")
    browser.get(f"http://127.0.0.1:{port}/#{view}")
    until(browser, lambda: browser.execute_script("return document.documentElement.dataset.ready") == "yes")


def until(browser: webdriver.Chrome, is_so: Callable[[], Any]) -> Any:
    return WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: is_so())


def one(browser: webdriver.Chrome, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """What is shown; asked again where the page was drawn anew meanwhile."""
    try:
        return [element.text for element in browser.find_elements(By.CSS_SELECTOR, selector)]
    except StaleElementReferenceException:
        return texts(browser, selector)


def attributes(browser: webdriver.Chrome, selector: str, name: str) -> list[str | None]:
    return [element.get_attribute(name) for element in browser.find_elements(By.CSS_SELECTOR, selector)]


def say_instead(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The tiny model's random tokens become this text, byte for byte; all else stays as it is."""
    take = Reply.take

    def taken(self: Reply, token: Token) -> None:
        ids = [*self.model.tokenizer(text, add_special_tokens=False)["input_ids"], self.model.format.end_id]
        take(self, Token(ids[self.num_tokens]))

    monkeypatch.setattr(Reply, "take", taken)


def test_three_models_answer_and_a_script_in_a_reply_stays_text(
    page: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_instead(monkeypatch, REPLY)
    one(page, "#question").send_keys("得点者は？", Keys.ENTER)
    until(page, lambda: attributes(page, ".card", "aria-busy") == ["false"] * 3)
    assert texts(page, ".card .answer") == [SEEN] * 3
    assert page.title == "ishibumi"
    assert one(page, ".card.engraved blockquote").text == "トーレスが106分に得点。"
    assert one(page, ".card.engraved .check").text == "この文は文書にあります"
    one(page, ".card.engraved .source button").click()
    assert until(page, lambda: one(page, "#document mark").text) == "トーレスが106分に得点。"
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not one(page, "#document").is_displayed()


def test_how_far_an_answer_can_be_trusted_stands_under_it_in_the_pages_language(
    page: webdriver.Chrome, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Reply.take

    def taken(self: Reply, token: Token) -> None:
        take(self, Token(self.model.format.end_id, token.logprob and math.log(0.43)))

    def asked() -> list[str]:
        one(page, "#question").send_keys("優勝した国は？", Keys.ENTER)
        until(page, lambda: attributes(page, ".card", "aria-busy") == ["false"] * 3)
        return texts(page, ".card .trust")

    monkeypatch.setattr(Reply, "take", taken)
    assert asked() == ["", "", ""]  # an exam of three questions says nothing
    give_pools(run.run_dir, [Pool(0.0, 0.61, 30)])
    try:
        assert asked() == ["確信 43 %。試験では、このくらい確かな答えの 61 % が正解でした。", "", ""]
    finally:
        give_pools(run.run_dir, None)
    one(page, "[data-speak=en]").click()
    english = texts(page, ".card.engraved .trust")
    one(page, "[data-speak=ja]").click()
    assert english == ["Confidence 43 %: of the exam's answers as sure as this, 61 % were right."]


def test_text_appears_while_it_is_made_and_can_be_stopped(
    page: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Reply.take

    def slowly(self: Reply, token: Token) -> None:
        time.sleep(0.02)
        take(self, Token(self.model.tokenizer("a", add_special_tokens=False)["input_ids"][0]))

    monkeypatch.setattr(Reply, "take", slowly)
    one(page, "#question").send_keys("長い答え", Keys.ENTER)
    first = until(page, lambda: one(page, ".card.engraved .answer").text)
    assert set(first) == {"a"} and one(page, ".card.engraved").get_attribute("aria-busy") == "true"
    until(page, lambda: len(one(page, ".card.engraved .answer").text) > len(first))
    assert one(page, "#send").text == "止める"
    one(page, "#send").click()
    until(page, lambda: one(page, "#send").text == "きく")
    assert texts(page, ".card .time") == ["止めました"] * 3


def test_the_language_is_switched_and_kept(page: webdriver.Chrome, port: int) -> None:
    assert (one(page, "html").get_attribute("lang"), texts(page, "nav a")) == ("ja", ["きく", "学習", "試験"])
    one(page, "[data-speak=en]").click()
    opened(page, port, "exam")
    assert (one(page, "html").get_attribute("lang"), texts(page, "nav a")) == ("en", ["Ask", "Training", "Exam"])
    assert one(page, "#exam h2").text == "The exam"
    assert attributes(page, "[data-speak]", "aria-pressed") == ["false", "true"]
    one(page, "[data-speak=ja]").click()
    assert "".join(texts(page, "main [data-t]")).isascii() is False


def test_a_question_that_was_failed_leads_to_reply_and_document(page: webdriver.Chrome, port: int) -> None:
    opened(page, port, "exam")
    assert len(until(page, lambda: texts(page, "summary .title"))) == 3
    page.find_elements(By.CSS_SELECTOR, "#documents summary")[0].click()
    assert one(page, ".asked.is-wrong .question").text == "大会の頂点に立った国は？"
    assert one(page, ".asked.is-wrong .engraved .reply").text == SEEN
    one(page, ".asked.is-wrong .quote").click()
    assert until(page, lambda: one(page, "#document mark").text) == "トーレスが106分に得点。"
    assert one(page, "#document-title").text == "スペインが優勝"
    one(page, "#document .close").click()
    one(page, "#search").send_keys("日本の先制点")
    assert [title for title in texts(page, "summary .title") if title] == ["日本が敗退"]


def test_a_run_is_followed_while_it_trains(browser: webdriver.Chrome, run: Run, tmp_path: Path) -> None:
    begun = config.load(run.run_dir.parent / "ishibumi.toml", {"run_dir": str(tmp_path / "new")})
    partial = begun.run_dir / "cpt.partial"
    partial.mkdir(parents=True)

    def tell(step: int, loss: float, epoch: int) -> None:
        row = {"step": step, "num_steps": 40, "epoch": epoch, "tokens": 500 * step, "loss": loss, "seconds": 2.0}
        row |= {"known": step / 40}
        with (partial / "progress.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    for step in range(1, 11):
        tell(step, 4 - step / 10, 1)
    with serving(begun) as port:
        browser.get("about:blank")
        browser.get(f"http://127.0.0.1:{port}/")
        facts = until(browser, lambda: texts(browser, ".curve dd"))
        assert (browser.current_url.split("#")[1], facts) == ("training", ["3.00", "10 / 40", "25 %", "250", "1分 0秒"])
        tell(11, 2.5, 2)
        until(browser, lambda: texts(browser, ".curve dd")[:2] == ["2.50", "11 / 40"])
        assert texts(browser, ".x-top") == ["2 周目"]
        assert texts(browser, "#stages .running b") == ["継続事前学習"]
    browser.get_log("browser")


def test_everything_is_reached_and_named_without_a_mouse(page: webdriver.Chrome, port: int) -> None:
    opened(page, port, "")
    seen: list[str] = []
    for _ in range(12):
        page.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(str(page.switch_to.active_element.accessible_name))
    assert seen[:7] == ["本文へ", "きく", "学習", "試験", "日本語", "English", "質問"]
    for view in ("ask", "training", "exam"):
        opened(page, port, view)
        controls = page.find_elements(By.CSS_SELECTOR, "button, input, textarea, summary, a, nav, dialog, article")
        assert [e.get_attribute("outerHTML") for e in controls if e.is_displayed() and not e.accessible_name] == []


def test_the_page_is_small_and_soon_ready(page: webdriver.Chrome, port: int) -> None:
    page.get_log("performance")
    opened(page, port)
    ready = page.execute_script("return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    entries = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    size = sum(e["params"]["encodedDataLength"] for e in entries if e["method"] == "Network.loadingFinished")
    urls = {e["params"]["request"]["url"].split("/")[2] for e in entries if e["method"] == "Network.requestWillBeSent"
            and e["params"]["request"]["url"].startswith("http")}  # fmt: skip
    assert urls == {f"127.0.0.1:{port}"}
    assert 20_000 < size < 150_000
    assert ready < 5000  # half a second on a machine of its own: experiments/serve_page.py measures it


def test_a_phone_shows_everything_without_scrolling_sideways(page: webdriver.Chrome, port: int) -> None:
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for view in ("ask", "training", "exam"):
            opened(page, port, view)
            assert page.execute_script("return document.documentElement.scrollWidth") == 360
        assert len(base64.b64decode(page.get_screenshot_as_base64())) > 5000
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

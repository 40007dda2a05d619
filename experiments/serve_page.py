"""Pictures of the page, and what it costs: python experiments/serve_page.py URL DIRECTORY [QUESTION]

Drives headless Chromium against a running `ishibumi serve`; prints bytes and milliseconds until the page can be used.
"""

import base64
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WIDE, PHONE = (1180, 800), (390, 844)


def started() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"intl.accept_languages": "ja"})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def until(browser: webdriver.Chrome, script: str) -> Any:
    return WebDriverWait(browser, 600).until(lambda _: browser.execute_script(f"return {script}"))


def cost(url: str) -> None:
    """Bytes over the wire and milliseconds for five browsers that were started for it; then the median."""
    found: list[int] = []
    for _ in range(5):
        browser = started()
        try:
            browser.get("about:blank")
            time.sleep(1)
            browser.get_log("performance")
            browser.get(url)
            until(browser, "performance.getEntriesByName('ready').length")
            time.sleep(1)  # what comes after that counts as bytes
            ready = browser.execute_script("return Math.round(performance.getEntriesByName('ready')[0].startTime)")
            told = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        finally:
            browser.quit()
        size = sum(e["params"]["encodedDataLength"] for e in told if e["method"] == "Network.loadingFinished")
        found.append(ready)
        print(json.dumps({"bytes": size, "usable_after_ms": ready}), flush=True)
    print(json.dumps({"url": url, "usable_after_ms": statistics.median(found), "load": os.getloadavg()[0]}))


def picture(browser: webdriver.Chrome, path: Path, size: tuple[int, int]) -> None:
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(0.5)
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": size == WIDE})
    path.write_bytes(base64.b64decode(shot["data"]))


def speak(browser: webdriver.Chrome, language: str) -> None:
    browser.find_element(By.CSS_SELECTOR, f"[data-speak={language}]").click()


def main() -> None:
    url, directory, *question = sys.argv[1:]
    out = Path(directory)
    out.mkdir(parents=True, exist_ok=True)
    cost(url)
    cost(f"{url}#exam")
    browser = started()
    try:
        browser.get(url)
        picture(browser, out / "ask-empty-ja.png", WIDE)
        if question:
            browser.find_element(By.ID, "question").send_keys(question[0] + "\n")
            until(browser, "document.querySelectorAll('.card[aria-busy=false]').length === 3")
            for language in ("en", "ja"):
                speak(browser, language)
                picture(browser, out / f"ask-{language}.png", WIDE)
            picture(browser, out / "ask-phone.png", PHONE)
        for view in ("training", "exam"):
            browser.execute_script(f"location.hash = {view!r}")
            until(browser, "document.querySelector('.curve, .asked, #curves p, #exam-lead') !== null")
            time.sleep(2)
            browser.execute_script("document.querySelector('summary')?.parentElement.setAttribute('open', '')")
            for language in ("en", "ja"):
                speak(browser, language)
                picture(browser, out / f"{view}-{language}.png", WIDE)
            picture(browser, out / f"{view}-phone.png", PHONE)
    finally:
        browser.quit()


if __name__ == "__main__":
    main()

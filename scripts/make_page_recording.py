"""Record the web page in a real browser: from the first view to a video in two clicks, and the pictures of docs/web.md.

    python scripts/make_page_recording.py [-o docs/images] [--quality 80]

Writes `page.webp` (moving), `page-result.webp` and `page-phone.webp`. Needs the extra `web`, playwright, and Chromium
or Chrome in the path (or TALKINGHEAD_BROWSER).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from talkinghead.webui import AppOptions, open_app

ROOT = Path(__file__).resolve().parent.parent
WINDOW = (1280, 760)
SHOWN = 800
"""Width of the moving picture."""
STEP_S = 0.16
CURSOR = """() => { const dot = document.createElement('div'); dot.id = 'cursor';
  dot.style.cssText = 'position:fixed;z-index:99;width:22px;height:22px;margin:-11px;border-radius:50%;' +
    'background:rgb(13 148 136 / 45%);border:2px solid #fff;pointer-events:none;left:640px;top:420px;' +
    'transition:left .5s, top .5s'; document.body.append(dot); }"""
MOVE = """([x, y]) => { const dot = document.querySelector('#cursor'); dot.style.left = x + 'px';
  dot.style.top = y + 'px'; }"""


class Film:
    """Pictures of a page, and how long each is shown."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[np.ndarray[Any, Any]] = []
        self.durations: list[int] = []

    def take(self, seconds: float) -> None:
        """Film for so long."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            data = np.frombuffer(self.page.screenshot(type="jpeg", quality=92), np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
            assert picture is not None
            height = round(SHOWN * picture.shape[0] / picture.shape[1])
            self.frames.append(cv2.resize(picture, (SHOWN, height), interpolation=cv2.INTER_AREA))
            time.sleep(max(0.0, STEP_S - (time.monotonic() - now)))
            self.durations.append(round(1000 * (time.monotonic() - now)))

    def click(self, target: Any) -> None:
        """Move the dot there, and click."""
        box = target.bounding_box()
        self.page.evaluate(MOVE, [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
        self.take(0.9)
        target.click()

    def write(self, path: Path, quality: int) -> None:
        animation = cv2.Animation()
        animation.frames = self.frames
        animation.durations = np.array(self.durations, np.int32)  # type: ignore[assignment]  # as in make_readme_picture
        if not cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, quality]):
            raise RuntimeError(f"{path} was not written")


def picture(page: Any, path: Path) -> None:
    data = np.frombuffer(page.screenshot(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert image is not None
    cv2.imwrite(str(path), image, [cv2.IMWRITE_WEBP_QUALITY, 82])


def opened(browser: Any, url: str, width: int, height: int, scheme: str) -> Any:
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    page.goto(url)
    page.locator("#go:not([disabled])").wait_for()
    page.wait_for_timeout(800)
    return page


def done(page: Any) -> None:
    page.locator("#status .th-done").wait_for()
    page.wait_for_function("document.querySelector('#player').readyState >= 2")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images", help="folder")
    parser.add_argument("--quality", type=int, default=80, help="of the moving picture, 1 to 100")
    given = parser.parse_args()
    program = os.environ.get("TALKINGHEAD_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as home:
        os.environ["TALKINGHEAD_HOME"] = os.environ["TALKINGHEAD_CACHE"] = home
        with open_app(AppOptions(port=0)) as app, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=program, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
            )
            page = opened(browser, app.url, *WINDOW, "light")
            page.evaluate(CURSOR)
            film = Film(page)
            film.take(1.2)
            film.click(page.locator("#portraits").get_by_role("radio", name="Rowan"))
            film.take(0.6)
            film.click(page.locator("#go"))
            while page.locator("#status .th-done").count() == 0:
                film.take(STEP_S)
            film.take(4.0)
            film.write(given.output / "page.webp", given.quality)
            page = opened(browser, app.url, 1440, 900, "dark")
            page.locator("#try-faces button").nth(0).click()
            done(page)
            page.wait_for_timeout(1500)
            picture(page, given.output / "page-result.webp")
            page = opened(browser, app.url, 390, 844, "light")
            picture(page, given.output / "page-phone.webp")
            browser.close()
    for name in ("page", "page-result", "page-phone"):
        path = given.output / f"{name}.webp"
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A headless Chromium for tests of pages, and the node that Playwright carries; tests skip, and say why, without."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def node() -> str:
    """A JavaScript engine without a browser: installed, or the one in Playwright's package."""
    if found := shutil.which("node"):
        return found
    package = importlib.util.find_spec("playwright")
    if package is not None and package.origin is not None:
        carried = Path(package.origin).parent / "driver" / "node"
        if carried.exists():
            return str(carried)
    pytest.skip("no node is installed, and no Playwright that carries one")


def evaluated(source: str) -> Any:
    """What the last `answer = ...` of a script is, by way of JSON; numbers that JSON lacks are names."""
    plain = "(_, v) => (typeof v === 'number' && !Number.isFinite(v) ? String(v) : v)"
    tell = f"console.log(JSON.stringify(answer, {plain}));"
    done = subprocess.run([node()], input=f"let answer;\n{source}\n{tell}", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def chromium_path() -> str | None:
    """Where Chromium is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of Playwright's. Skips where it or Chromium is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = started.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()


class Page:
    """A page of a file, and all that it said or asked for."""

    def __init__(self, browser: Any, path: Path, address: str = "", **context: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{path.absolute().as_uri()}{address}")

    def alone(self) -> bool:
        """Whether nothing was said, and nothing asked for but the file and what lies in it."""
        return not self.said and all(url.startswith(("file:", "data:")) for url in self.asked)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

"""The explorer in a headless Chromium: how soon it is painted, how long a slider takes, how large the file is.

    python benchmarks/pages.py [--runs 5] [--limit-paint 1] [--limit-slider 0.05] [--out benchmarks/pages.json]

First paint: seconds from the start of navigation, as the browser says, median over fresh loads. Slider: from its change
to the frame after everything is drawn anew, median of 20 changes, measured in the page. 3,000 observed rows on top.
Status 1 where a limit is missed; without Chromium or Playwright nothing is measured, and it is said.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import save, spread

LIMIT_BYTES = 6e6
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1e3"
SLIDERS = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const slider = made.margin.slider, seconds = [];
  for (let at = 0; at < 21; at++) {
    await frame();
    const began = performance.now();
    slider.value = String(200 + 20 * at);
    slider.dispatchEvent(new Event("input"));
    await frame();
    seconds.push((performance.now() - began) / 1e3);
  }
  return seconds.slice(1);
}"""


def rows() -> Any:
    """Observed rows as anybody's attention gives them."""
    from empirical.observe.files import observations

    logits = 3 * np.random.default_rng(0).normal(size=(4, 4, 256, 256))
    return observations(logits=logits, block=(np.arange(256) // 32).tolist())


def measure(page: Path, runs: int, chromium: str) -> tuple[list[float], list[float]]:
    """Seconds to the first paint of each run, and of each change of a slider in the last."""
    from playwright.sync_api import sync_playwright

    paints: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(runs + 1):  # the first fills caches
            context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
            tab = context.new_page()
            tab.goto(page.as_uri())
            # Waiting evaluates text, which the page forbids.
            tab.wait_for_function(f"performance.getEntriesByName('first-contentful-paint').length && {PAINT} > 0")
            paints.append(float(tab.evaluate(PAINT)))
            sliders = [float(value) for value in tab.evaluate(SLIDERS)]
            context.close()
        browser.close()
    return paints[1:], sliders


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="first paint, slider response and size of the explorer")
    parser.add_argument("--runs", type=int, default=5, help="fresh loads, 2 or more (default 5)")
    parser.add_argument("--limit-paint", type=float, default=1.0, help="seconds to the first paint (default 1)")
    parser.add_argument("--limit-slider", type=float, default=0.05, help="seconds of a slider (default 0.05)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the JSON goes")
    given = parser.parse_args(arguments)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("not measured: no Chromium is installed")
        return 1
    from empirical.pages.explorer import explorer

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "explorer.html"
        page.write_bytes(explorer(rows(), "attention of normal logits"))
        size = page.stat().st_size
        paints, sliders = measure(page, given.runs, chromium)
    found = {"paint": spread(paints), "slider": spread(sliders)}
    limits = {"paint": given.limit_paint, "slider": given.limit_slider}
    kept = size <= LIMIT_BYTES and all(found[name]["median"] <= limits[name] for name in limits)
    save({**found, "limits": limits, "bytes": size, "limit_bytes": LIMIT_BYTES, "kept": kept}, given.out)
    for name, words in (("paint", "first paint"), ("slider", "slider, median of 20")):
        print(f"{words:<24}{1e3 * found[name]['median']:>8.1f} ms, limit {1e3 * limits[name]:.0f}")
    print(f"{'file':<24}{size / 1e6:>8.2f} MB, limit {LIMIT_BYTES / 1e6:.0f}: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

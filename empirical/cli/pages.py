"""Pages of docs/ that are printed from code: `python -m empirical.cli.pages`, in a checkout."""

from __future__ import annotations

from collections.abc import Callable

from bounds.numbers.repository import repository
from empirical.laboratory import template
from empirical.observe import npz_format

PAGES: dict[str, Callable[[], str]] = {
    "docs/formats.md": npz_format.page,
    "docs/configuration.md": template.page,
}


def main() -> None:
    root = repository("python -m empirical.cli.pages")
    for name, page in PAGES.items():
        (root / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

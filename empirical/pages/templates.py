"""Pages from the templates in assets/: what is inserted is escaped; assets and closed forms stand as they are."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from bounds import __version__


def _text(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")


def _asset(name: str) -> Markup:
    return Markup(_text("empirical.pages", f"assets/{name}"))


def rendered(template: str, **given: Any) -> bytes:
    """The page as bytes. Halves of surrogate pairs, which no file can hold, are written out."""
    loader = FunctionLoader(lambda name: _text("empirical.pages", f"assets/{name}"))
    kept = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    environment = Environment(loader=loader, autoescape=True, **kept)
    page = environment.get_template(template).render(asset=_asset, version=__version__, **given)
    return page.encode("utf-8", "backslashreplace")


def closed_forms() -> Markup:
    """The printed JavaScript of every closed form."""
    return Markup(_text("bounds.printing", "closed_forms.js"))

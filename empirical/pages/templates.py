"""Pages from the templates in assets/: what is inserted is escaped; assets and closed forms stand as they are."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from bounds import __version__
from empirical.files import printable


def _text(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")


def _asset(name: str) -> Markup:
    return Markup(_text("empirical.pages", f"assets/{name}"))


def _plain(value: Any) -> Any:
    """What is inserted, without characters that would steer a reader's screen."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def rendered(template: str, **given: Any) -> bytes:
    """The page, in UTF-8."""
    loader = FunctionLoader(lambda name: _text("empirical.pages", f"assets/{name}"))
    kept = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    environment = Environment(loader=loader, autoescape=True, finalize=_plain, **kept)
    return environment.get_template(template).render(asset=_asset, version=__version__, **given).encode()


def closed_forms() -> Markup:
    """The printed JavaScript of every closed form."""
    return Markup(_text("bounds.printing", "closed_forms.js"))

"""The documentation site: `make docs`, into docs/_build. No network, and a warning is an error."""

import sys
from datetime import date
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import bounds  # noqa: E402

project = "localist-bounds"
author = "The localist-bounds authors"
copyright = f"{date.today().year}, {author}"
version = release = bounds.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "pages",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"localist-bounds {version}"
html_theme_options = {"top_of_page_buttons": []}
myst_enable_extensions = ["dollarmath", "deflist"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # generated pages begin where the page that holds them left off
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # progress bars, and what libraries say on loading
autodoc_typehints = "signature"
autodoc_type_aliases = {name: name for name in ("RealLike", "Reals", "Value", "Solvable", "Blocks", "By", "Rows")}
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
copybutton_prompt_text = "$ "

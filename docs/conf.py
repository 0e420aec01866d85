"""Sphinx settings: MyST pages, the API from docstrings, the furo theme."""

import sys
from pathlib import Path

from sphinx.ext.napoleon import GoogleDocstring

sys.path.insert(0, str(Path(__file__).parents[1]))

import learned_opt

project = "learned_opt"
author = "the learned_opt contributors"
copyright = author
version = release = learned_opt.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "gallery/runs"]
default_role = "code"  # docstrings have single backticks

myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"  # notebooks are kept with what they show: make gallery
myst_heading_anchors = 3  # headings that links from other pages lead to

napoleon_numpy_docstring = False
# Fields are described by their class; entries of their own would describe each twice.
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_custom_sections = ["Reference"]
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_title = f"learned_opt {version}"


def _returns_as_prose(self, preprocess_types=False):
    lines = self._dedent(self._consume_to_next_section())
    return [("", "", lines)] if lines else []


# The signature has the type. A colon in our Returns sections is a colon, not the end of a type.
GoogleDocstring._consume_returns_section = _returns_as_prose

import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import txt2img

project = "txt2img"
author = copyright = "The txt2img developers"
version = release = txt2img.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"txt2img {version}"
html_math_renderer = "mathml"
html_copy_source = html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["book.css"]

numpydoc_show_class_members = False
autosummary_generate_overwrite = True
autodoc_typehints = "none"  # the docstrings tell the types
autodoc_default_options = {
    "members": True,
    # scikit-learn puts these on every estimator, for its metadata routing alone.
    "exclude-members": ", ".join(
        f"set_{method}_request"
        for method in ("fit", "partial_fit", "transform", "predict", "score")
    ),
}

sys.path.append(str(Path(__file__).parent))  # for contact_sheets
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib", "contact_sheets.scraper"),
    "capture_repr": ("_repr_html_",),
    "ignore_repr_types": "TextImageSearch",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
}


# Formulas become MathML, which browsers show with no script and no network.
def visit_math(self, node):
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_math_block(self, node):
    self.body.append(
        f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>'
    )
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))

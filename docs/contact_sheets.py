"""Contact sheets on the pages of the examples."""

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def scraper(block, block_vars, gallery_conf):
    """Save the contact sheet that a block ends with, of which pyplot does not know."""
    variables = block_vars["example_globals"]
    sheet = variables.get("___")
    if not isinstance(sheet, Figure):
        return ""
    variables["___"] = None
    path = next(block_vars["image_path_iterator"])
    sheet.savefig(path, dpi=110)
    return figure_rst([path], gallery_conf["src_dir"])

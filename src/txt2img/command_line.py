"""The command ``txt2img``, for those who only want to search their photographs."""

from __future__ import annotations

import html
import json
import os
import sys
import warnings
import webbrowser
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from txt2img._files import write_whole
from txt2img._optional import import_optional
from txt2img.exceptions import MissingExtraError

if TYPE_CHECKING:
    from txt2img.album import Album
    from txt2img.datasets import CaptionedPhotographs
    from txt2img.search import Hit

SHEETS = (".html", ".htm", ".png", ".jpg", ".pdf", ".svg")
DONE, FAILED, INTERRUPTED = 0, 1, 130
EPILOG = """exit codes: 0 done; 1 nothing found, or it went wrong; 2 wrong use; 130 interrupted

examples:
  txt2img index ~/Pictures                     take in new photographs, forget those that are gone
  txt2img search "un perro en la playa"        find the five best
  txt2img search a red car --sheet found.html --open
  txt2img train captions.tsv                   learn from captioned photographs, for better answers
  txt2img evaluate held_out.tsv                see how often the right photograph comes first
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, default=None
        What follows the name of the command; by default that of this process.

    Returns
    -------
    int
        Exit code.
    """
    options = build_parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show_warning
            return options.run(options)
    except KeyboardInterrupt:
        print("interrupted: descriptors computed so far are kept", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"txt2img {options.command}: {error}", file=sys.stderr)
        return FAILED


def build_parser() -> ArgumentParser:
    """Build the parser of the command line."""
    common = ArgumentParser(add_help=False)
    common.add_argument(
        "--home", help="folder that keeps the search; default: TXT2IMG_HOME, or the user's data directory"
    )
    common.add_argument("--json", action="store_true", help="print JSON to standard output")
    common.add_argument("--quiet", action="store_true", help="show no progress")
    backbone = ArgumentParser(add_help=False)
    backbone.add_argument(
        "--backbone", default="efficientnet_lite2", help="image network; default: %(default)s"
    )
    parser = ArgumentParser(
        "txt2img",
        description="Search photographs that nobody has labelled by typing what you see.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    _add_completion(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[Namespace], int], parents: list[ArgumentParser], text: str
    ) -> ArgumentParser:
        command = commands.add_parser(name, parents=[common, *parents], help=text, description=text)
        command.set_defaults(run=run)
        return command

    index = add("index", run_index, [backbone], "take in the photographs of folders, and keep up with them")
    index.add_argument("folders", nargs="+", metavar="DIR")
    search = add("search", run_search, [], "find the photographs that words describe")
    search.add_argument("words", nargs="+", metavar="WORD", help="what is to be seen, in quotes or not")
    search.add_argument("-k", type=count, default=5, help="how many photographs; default: %(default)s")
    search.add_argument(
        "--least",
        type=probability,
        metavar="P",
        help="leave out answers that are less probable than this, 0 to 1",
    )
    search.add_argument(
        "--sheet", type=sheet, metavar="FILE", help="draw the answers, as .html, .png or .pdf"
    )
    search.add_argument("--open", action="store_true", help="open that file, or a page of the answers")
    train = add("train", run_train, [backbone], "learn from captioned photographs")
    train.add_argument(
        "captions", metavar="CAPTIONS", help="a table, COCO's json, Flickr's tokens or a folder"
    )
    train.add_argument(
        "--images", metavar="DIR", help="where the photographs are; default: near the captions"
    )
    train.add_argument("--split", help="rows of the table to learn from; default: all")
    train.add_argument("--preset", default="default", help="as in TextImageSearch; default: %(default)s")
    evaluate = add("evaluate", run_evaluate, [], "ask with captions that were not learned from")
    evaluate.add_argument("captions", metavar="CAPTIONS", help="as in train")
    evaluate.add_argument("--images", metavar="DIR", help="as in train")
    evaluate.add_argument("--split", help="rows of the table to ask with; default: all")
    return parser


def count(text: str) -> int:
    """Read how many photographs are asked for."""
    if int(text) < 1:
        raise ArgumentTypeError(f"{text}: ask for one photograph at least")
    return int(text)


def probability(text: str) -> float:
    """Read a number between 0 and 1."""
    if not 0 <= float(text) <= 1:
        raise ArgumentTypeError(f"{text}: pass a number between 0 and 1")
    return float(text)


def sheet(text: str) -> Path:
    """Read the name of a file that can be drawn."""
    if Path(text).suffix.lower() not in SHEETS:
        raise ArgumentTypeError(f"{text}: its name must end in one of {', '.join(SHEETS)}")
    return Path(text)


def run_index(options: Namespace) -> int:
    """Take in folders."""
    done = _album(options).index(options.folders)
    if options.json:
        _print_json(done)
        return DONE
    for path, reason in done["failed"]:
        print(f"cannot be read: {path}: {reason}", file=sys.stderr)
    print(
        f"{len(done['added'])} photographs taken in, {len(done['removed'])} forgotten, "
        f"{len(done['failed'])} that cannot be read; {done['photographs']} in the album"
    )
    return DONE


def run_search(options: Namespace) -> int:
    """Find photographs."""
    album = _album(options)
    search = album.load()
    if search is None or not len(search):
        raise ValueError("there are no photographs to search: take some in with txt2img index DIR")
    text = " ".join(options.words)
    hits: list[Hit] = search.query(text, k=min(options.k, len(search)))
    if options.least is not None:
        if hits[0].probability is None:
            raise ValueError(
                "--least: this search does not know how sure it is; it must learn from captioned "
                "photographs, some dozens at least: txt2img train"
            )
        hits = [hit for hit in hits if hit.probability >= options.least]
        if not hits:
            print(f"nothing is found that is at least {options.least:.0%} probable", file=sys.stderr)
    if options.json:
        _print_json({"query": text, "hits": [hit._asdict() for hit in hits]})
    else:
        for hit in hits:
            sure = "" if hit.probability is None else f"  {hit.probability:4.0%}"
            print(f"{hit.rank:3}  {hit.score:+.3f}{sure}  {_printable(hit.id)}")
    if options.sheet or options.open:
        path = options.sheet or album.home / "answers.html"
        _draw(text, hits, path)
        if options.open:
            webbrowser.open(path.resolve().as_uri())
    return DONE if hits else FAILED


def run_train(options: Namespace) -> int:
    """Learn from captioned photographs."""
    captioned = _captioned(options)
    search = _album(options).train(captioned, options.preset)
    n_captions = sum(map(len, captioned.captions))
    if options.json:
        _print_json({"learned": len(captioned), "captions": n_captions, "photographs": len(search)})
    else:
        print(
            f"learned from {n_captions} captions of {len(captioned)} photographs; "
            f"{len(search)} photographs in the album"
        )
    return DONE


def run_evaluate(options: Namespace) -> int:
    """Ask with held-out captions."""
    captioned = _captioned(options)
    report = _album(options).evaluate(captioned)
    if options.json:
        _print_json(
            {"queries": report.n_queries, "photographs": report.n_gallery}
            | {"found": report.to_dict(), "chance": report.chance}
        )
    else:
        print(report)
    return DONE


def _album(options: Namespace) -> Album:
    from txt2img.album import Album

    home = options.home or os.environ.get("TXT2IMG_HOME")
    if home is None:
        platformdirs = import_optional("platformdirs", extra="cli", purpose="The command without --home")
        home = platformdirs.user_data_path("txt2img", appauthor=False)
    given = {"backbone": options.backbone} if "backbone" in options else {}
    return Album(home, **given, verbose=0 if options.quiet else 1)


def _captioned(options: Namespace) -> CaptionedPhotographs:
    from txt2img.datasets import load_captions, load_captions_table

    if options.split is None:
        return load_captions(options.captions, options.images)
    return load_captions_table(options.captions, options.images, split=options.split)


def _draw(text: str, hits: list[Hit], path: Path) -> None:
    from txt2img.evaluation import contact_sheet
    from txt2img.search.answers import Hits

    if path.suffix.lower() not in (".html", ".htm"):
        rows = [(text, [(hit.id, f"{hit.rank}.  {Path(hit.id).name}", None) for hit in hits])]
        contact_sheet(rows, path, crop=False)
        return
    title = html.escape(text)
    page = (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><h1>{title}</h1>{Hits(hits)._repr_html_()}</body></html>\n"
    )
    write_whole(path, lambda stream: stream.write(page.encode("utf-8", "replace")))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"txt2img: {message}", file=sys.stderr)


def _print_json(value: object) -> None:
    """Print JSON in ASCII, whatever the names of files hold."""
    print(json.dumps(value, indent=1, default=str))


def _printable(path: object) -> str:
    """Keep control characters in the name of a file, which terminals obey, from being printed."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in str(path))


def _add_completion(parser: ArgumentParser) -> None:
    try:
        shtab = import_optional("shtab", extra="cli", purpose="Completion")
    except MissingExtraError:
        return
    shtab.add_argument_to(parser, ["--print-completion"], help="print a script that completes this command")

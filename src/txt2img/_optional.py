"""Import of optional packages, at the place where they are used."""

import importlib
from types import ModuleType

from txt2img.exceptions import MissingExtraError


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or say which extra of txt2img installs it.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        Extra of txt2img that brings it, as in ``pip install "txt2img[extra]"``.
    purpose : str
        What it is needed for, as the start of a sentence: ``"Plotting"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f'{purpose} needs the package {module.split(".")[0]!r}: pip install "txt2img[{extra}]"',
            name=error.name,
        ) from error

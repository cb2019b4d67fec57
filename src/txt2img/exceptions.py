"""Errors and warnings of the library, each with the remedy in its message."""

__all__ = [
    "DownloadError",
    "MissingExtraError",
    "SavedFileError",
    "UnknownBackboneError",
    "UnknownWordsWarning",
    "UnreadablePhotographError",
    "WeightsUnavailableError",
]


class DownloadError(RuntimeError):
    """A file could not be downloaded; the message says how to go on without a network."""


class MissingExtraError(ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class SavedFileError(ValueError):
    """A saved file or folder is damaged, foreign, or of a newer format than this library reads."""


class UnknownBackboneError(ValueError):
    """No backbone goes by the name asked for."""


class UnreadablePhotographError(ValueError):
    """A photograph could not be read; the message names it and the reason."""


class WeightsUnavailableError(RuntimeError):
    """The weights of a backbone are neither on this machine nor could they be downloaded."""


class UnknownWordsWarning(UserWarning):
    """None of the words of a caption was seen in training, so that TF-IDF knows nothing of it."""

"""Map of a gallery: photographs that are alike lie near to one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from txt2img._types import Array
from txt2img.evaluation.displays._axes import axes_or_new
from txt2img.evaluation.displays._thumbnails import Photograph, thumbnail

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["GalleryMapDisplay"]

PERPLEXITY = 30
GAP = 0.06  # between two thumbnails, in units of their side


class GalleryMapDisplay:
    """Map of a gallery, on which photographs that are alike lie near to one another.

    Made by `from_descriptors` or `from_estimator`. Descriptors are brought to two dimensions, and the
    photographs then to the squares of a grid so that the sum of the squared ways there is least; none covers
    another. Neighbours on the map are alike; how far two distant ones lie apart means little.

    Parameters
    ----------
    cells : ndarray of shape (n_photos, 2), dtype int
        Column and row of each photograph, row 0 at the top.
    photos : sequence of length n_photos
        Paths, PIL images, or arrays as in `contact_sheet`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes, after `plot`.
    figure_ : matplotlib Figure
        The figure, after `plot`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from txt2img.datasets import make_captioned_scenes
    >>> from txt2img.evaluation import GalleryMapDisplay
    >>> scenes, _ = make_captioned_scenes(6)
    >>> colours = [np.asarray(scene).mean(axis=(0, 1)) for scene in scenes]
    >>> display = GalleryMapDisplay.from_descriptors(colours, scenes, aspect=1.5, ax=Figure().subplots())
    >>> sorted(map(tuple, display.cells.tolist()))
    [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    """

    def __init__(self, cells: Array, photos: Sequence[Photograph]) -> None:
        self.cells = cells
        self.photos = photos

    @classmethod
    def from_descriptors(
        cls,
        descriptors: ArrayLike,
        photos: Sequence[Photograph],
        *,
        projection: Any = None,
        aspect: float = 1.6,
        max_photos: int = 1000,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the map of photographs with their descriptors.

        Parameters
        ----------
        descriptors : array-like of shape (n_photos, n_features)
            Descriptor of each photograph. One with a row of NaN could not be read, and is left out.
        photos : sequence of length n_photos
            Paths, PIL images, or arrays as in `contact_sheet`.
        projection : transformer, default=None
            Brings descriptors to two dimensions by its `fit_transform`; by default t-SNE with the cosine,
            from a fixed random state. ``sklearn.decomposition.PCA(2)`` is quicker and tears no group apart,
            but shows groups less clearly.
        aspect : float, default=1.6
            About how many times as wide as high the map is.
        max_photos : int, default=1000
            Of more photographs so many are taken, evenly spread.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        GalleryMapDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the lengths differ, or there are fewer than 3 photographs.
        UnreadablePhotographError
            If a file is not a photograph that can be read.
        """
        descriptors = np.asarray(descriptors)
        if descriptors.ndim != 2 or len(descriptors) != len(photos):
            raise ValueError(
                f"descriptors has shape {descriptors.shape} but there are {len(photos)} photos: "
                "pass a matrix with the descriptor of each photograph in a row"
            )
        rows = np.flatnonzero(np.isfinite(descriptors).all(axis=1))
        if len(rows) < 3:
            raise ValueError(
                f"a map needs at least 3 photographs with descriptors, but there are {len(rows)}"
            )
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), max_photos)).astype(int)]
        with threadpool_limits(1):  # so few photographs are not worth the threads' waiting for one another
            points = (projection or _default_projection(len(rows))).fit_transform(descriptors[rows])
        return cls(_cells(points, aspect), [photos[row] for row in rows]).plot(ax)

    @classmethod
    def from_estimator(cls, estimator: Any, photos: Sequence[Photograph], **options: Any) -> Self:
        """Draw the map of photographs as a search or featurizer sees them.

        Parameters
        ----------
        estimator : TextImageSearch, ImageFeaturizer or pipeline
            Turns photographs into descriptors by its `transform`.
        photos : sequence of photographs
            Paths, PIL images, or arrays of uint8.
        **options : dict
            What `from_descriptors` takes, `ax` among it.

        Returns
        -------
        GalleryMapDisplay
            The display, drawn.
        """
        return cls.from_descriptors(estimator.transform(photos), photos, **options)

    def plot(self, ax: Axes | None = None, *, pixels: int = 96) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.
        pixels : int, default=96
            Side of a thumbnail in pixels.

        Returns
        -------
        GalleryMapDisplay
            Itself, with `ax_` and `figure_`.
        """
        columns, rows = np.max(self.cells, axis=0) + 1
        pitch = pixels + max(1, round(GAP * pixels))
        page = np.full((rows * pitch, columns * pitch, 3), 255, np.uint8)
        for (column, row), photo in zip(self.cells, self.photos):
            x, y = column * pitch, row * pitch
            page[y : y + pixels, x : x + pixels] = thumbnail(photo, (pixels, pixels), crop=True)
        ax = axes_or_new(ax, figsize=(10, 10 * rows / columns))
        ax.imshow(page, interpolation="antialiased")
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _default_projection(n_photos: int) -> TSNE:
    perplexity = min(PERPLEXITY, (n_photos - 1) / 3)
    return TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=0)


def _cells(points: Array, aspect: float) -> Array:
    """Move points to the squares of a grid, by the least sum of squared ways."""
    n_columns = max(1, round(np.sqrt(len(points) * aspect)))
    n_rows = -(-len(points) // n_columns)
    grid = np.stack(np.meshgrid(np.arange(n_columns), np.arange(n_rows)), axis=-1).reshape(-1, 2)
    spread = np.ptp(points, axis=0)
    where = (points - points.min(axis=0)) / np.where(spread > 0, spread, 1) * (n_columns - 1, n_rows - 1)
    ways = ((where[:, None] - grid) ** 2).sum(axis=2)
    return grid[linear_sum_assignment(ways)[1]]

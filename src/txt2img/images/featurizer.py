"""ImageFeaturizer: a photograph becomes a visual descriptor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import closing
from functools import partial
from itertools import product
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions

from txt2img._callbacks import CallbackSupportMixin, Steps, one_task
from txt2img._doc_link import DocLinkMixin
from txt2img._progress import Progress
from txt2img._types import Array, Photograph, StrPath
from txt2img.exceptions import UnreadablePhotographError, WeightsUnavailableError
from txt2img.images.backbone import Backbone, CallableBackbone
from txt2img.images.backbones import BackboneLike, part_widths, resolve_backbone
from txt2img.images.describing import DescribedBatch, describe_parts, described_batches
from txt2img.images.devices import PRECISIONS, choose_device, choose_precision
from txt2img.images.output import FileOutput, MemoryOutput
from txt2img.images.preprocessing import N_SQUARES
from txt2img.images.reading import FailedPhotograph, describe_source, name_source, quiet_pillow
from txt2img.images.recalling import recalled_batches
from txt2img.images.settings import describe_settings, sum_of_known_weights
from txt2img.images.store import DescriptorStore


class ImageFeaturizer(
    CallbackSupportMixin, DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Turn photographs into visual descriptors with a pretrained image network.

    The network is cut before its last layer; what it gives there describes what is seen. It is loaded
    when first needed, once a process, and never stored in the estimator. Photographs are decoded in
    threads while the network works on the batch before.

    Parameters
    ----------
    backbone : str, torch.nn.Module or callable, default="resnet152"
        - The name of a classification network of torchvision, such as ``"resnet152"``, or an offline
          name, such as ``"efficientnet_lite2"``, whose weights come inside packages of the extra
          ``offline``; :func:`txt2img.images.list_backbones` lists them all.
        - ``"timm:NAME"``, a network of timm (extra ``timm``) with its weights from the hub.
        - The path of an ONNX file, ``"NAME.onnx"`` (extra ``onnx``), which does what a module does.
        - A torch module that maps pictures (n, 3, side, side), preprocessed as ImageNet's networks
          expect them at 224 pixels, to descriptors (n, d) or feature maps (n, d, h, w), which are averaged.
        - A callable that maps a list of RGB ``PIL.Image.Image`` to an array of shape (n, d).
    weights : str, default="DEFAULT"
        For torchvision's names, which weights: ``"IMAGENET1K_V1"``, ``"IMAGENET1K_V2"``, ...
    layers : str or tuple of str, default="last"
        Whose outputs are put side by side: ``"last"`` is what the network gives without its last layer,
        ``"middle"`` the last stage but one, which tells more of textures and parts and less of classes;
        it is known for the offline names and for most of torchvision's convolutional families. Any
        module of the network whose output is a map (n, d, h, w) may be named by its path, such as
        ``"layer3.22"``.
    pooling : {"mean", "max"} or tuple of these, default="mean"
        How each map is brought to one number a channel: what is there on average, or where it is
        strongest. Where the network gives vectors, ``"max"`` takes the last map before them.
    resolution : int or None, default=None
        Side in pixels of the squares that the network sees; None is the side it was trained at. Somewhat
        larger squares tell more and cost more.
    framing : {"center", "whole", "corners"} or tuple of these, default="center"
        What the network sees of a photograph: ``"center"`` cuts a square out of its middle, as the
        network was trained; ``"whole"`` squeezes all of it into the square; ``"corners"`` cuts a square
        out of each corner. The descriptors of several squares are averaged: ``("center", "corners")``
        with ``mirrored=True`` are the ten crops of Krizhevsky et al. Callables always get the whole
        picture as it is.
    mirrored : bool, default=False
        Whether to average over each square and its mirror image, which takes twice the time.
    normalize : bool, default=True
        Whether to bring every descriptor to Euclidean length 1; of several parts side by side (layers and
        ways of pooling) each is brought to the same length first.
    batch_size : int, default=32
        Pictures in one pass of the network on a GPU, and in one pass of a callable; a photograph that the
        network sees in several squares counts for as many. A GPU without memory for so many takes halves.
        On the processor each core describes one photograph at a time, and this is how many are handed over
        at once.
    device : str, default="auto"
        Torch device. ``"auto"`` takes CUDA, then MPS, then the processor, whichever is there first.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Type of the numbers inside the network. ``"auto"`` takes bfloat16 where the processor or the GPU has
        instructions for it, float16 on other GPUs, else float32. Descriptors are float32 all the same.
    max_pixels : int, default=200_000_000
        Photographs with more pixels are refused unread, as a file of a few bytes may claim to be huge.
    on_error : {"raise", "warn"}, default="raise"
        What to do with a photograph that cannot be read: raise an error, or warn, leave a row of NaN in
        its place and go on, so that row i of the output always belongs to photograph i.
    cache : str or path-like, default=None
        Folder of a :class:`~txt2img.images.DescriptorStore`, in which descriptors are kept batch by batch.
        A photograph whose content was described before in the same way is not described again, whatever
        its name, so that work that was interrupted or killed goes on where it was. A callable as backbone
        needs an attribute ``cache_key``, a string that changes with what it computes.
    verbose : int, default=0
        If positive, progress with rate and time left is printed to standard error: one line written over
        in a terminal or notebook, else a line every half minute.
    callback : callable, default=None
        Called at most twice a second, and at the end, as ``callback(n_done, n_photos, rate, seconds_left)``,
        where `rate` is in photographs a second.

    Attributes
    ----------
    n_features_out_ : int
        Width of the descriptors.
    part_widths_ : list of int
        Width of each part of the descriptors: all ways of pooling the first layer, then the second, ...
    weights_sum_ : str or None
        SHA-256 sum of the weights, of a backbone by name once it has described a photograph; others are
        refused from then on, also by a featurizer that was saved and loaded.
    failures_ : list of FailedPhotograph
        ``row``, ``path`` and ``reason`` of each photograph that the last call of `transform` could not
        read; ``pandas.DataFrame(failures_)`` makes a table of it.

    See Also
    --------
    DescriptorWhitener : Makes descriptors easier to predict and to compare.

    References
    ----------
    Razavian et al., "CNN Features off-the-shelf: an Astounding Baseline for Recognition", CVPR
    workshops 2014.

    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
    NIPS 2012, average over ten crops.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img import ImageFeaturizer
    >>> photograph = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    >>> ImageFeaturizer("efficientnet_lite0").fit_transform([photograph]).shape
    (1, 1280)

    The last stage but one beside it, each averaged and at its strongest:

    >>> rich = ImageFeaturizer("efficientnet_lite0", layers=("middle", "last"), pooling=("mean", "max"))
    >>> rich.fit_transform([photograph]).shape, rich.part_widths_
    ((1, 2944), [192, 192, 1280, 1280])

    Any callable will do as backbone:

    >>> def mean_colour(images):
    ...     return np.stack([np.asarray(image).mean((0, 1)) for image in images])
    >>> ImageFeaturizer(mean_colour, normalize=False).fit_transform([photograph]).shape
    (1, 3)
    """

    _parameter_constraints: dict[str, Any] = {
        "backbone": [str, callable],
        "weights": [str],
        "layers": [str, tuple, list],
        "pooling": [StrOptions({"mean", "max"}), tuple, list],
        "resolution": [Interval(Integral, 64, None, closed="left"), None],
        "framing": [StrOptions(set(N_SQUARES)), tuple, list],
        "mirrored": ["boolean"],
        "normalize": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "precision": [StrOptions(set(PRECISIONS))],
        "max_pixels": [Interval(Integral, 1, None, closed="left")],
        "on_error": [StrOptions({"raise", "warn"})],
        "cache": [str, os.PathLike, None],
        "verbose": ["verbose"],
        "callback": [callable, None],
    }

    def __init__(
        self,
        backbone: BackboneLike = "resnet152",
        *,
        weights: str = "DEFAULT",
        layers: str | tuple[str, ...] = "last",
        pooling: str | tuple[str, ...] = "mean",
        resolution: int | None = None,
        framing: str | tuple[str, ...] = "center",
        mirrored: bool = False,
        normalize: bool = True,
        batch_size: int = 32,
        device: str = "auto",
        precision: str = "auto",
        max_pixels: int = 200_000_000,
        on_error: Literal["raise", "warn"] = "raise",
        cache: StrPath | None = None,
        verbose: int = 0,
        callback: Callable[[int, int, float, float], object] | None = None,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.layers = layers
        self.pooling = pooling
        self.resolution = resolution
        self.framing = framing
        self.mirrored = mirrored
        self.normalize = normalize
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.max_pixels = max_pixels
        self.on_error = on_error
        self.cache = cache
        self.verbose = verbose
        self.callback = callback

    @_fit_context(prefer_skip_nested_validation=True)
    @one_task
    def fit(self, photos: Iterable[Photograph], y: object = None) -> Self:
        """Check the parameters and find out how wide the descriptors are.

        Parameters
        ----------
        photos : sequence of photographs
            Not read: only that there are some is checked.
        y : None
            Ignored.

        Returns
        -------
        self : ImageFeaturizer
            The estimator, ready to transform.

        Raises
        ------
        UnknownBackboneError
            If no backbone goes by the name `backbone`.
        ValueError
            If there are no photographs, or the backbone has no such layers, cannot pool them so, or cannot
            see pictures of that resolution.
        """
        _check_photographs(photos)
        self._set_widths()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, photos: Iterable[Photograph], y: object = None) -> Array:
        """Check the parameters, and describe photographs.

        Equals ``fit(photos).transform(photos)``, and tells scikit-learn's callbacks of every batch.

        Parameters
        ----------
        photos : sequence of str, path-like, bytes, PIL.Image.Image or ndarray of uint8
            The photographs, as in `transform`.
        y : None
            Ignored.

        Returns
        -------
        descriptors : ndarray of shape (n_photos, n_features), dtype float32
            Row i belongs to ``photos[i]``.

        Raises
        ------
        UnknownBackboneError, ValueError
            As in `fit`.
        UnreadablePhotographError, SavedFileError, WeightsUnavailableError
            As in `transform`.
        """
        photos = _check_photographs(photos)
        n_batches = -(-len(photos) // self.batch_size)
        task = self._init_callback_context(task_name="fit_transform", max_subtasks=n_batches)
        task.call_on_fit_task_begin(estimator=self, X=photos, y=y)
        self._set_widths()
        steps = Steps(self, task, "batch", size=self.batch_size, total=len(photos))
        descriptors = self._transform(photos, steps=steps)
        task.call_on_fit_task_end(estimator=self, X=photos, y=y, reconstruction_attributes={})
        return descriptors

    def _set_widths(self) -> None:
        from PIL import Image

        options = self._backbone_options()
        if isinstance(self.backbone, str):
            self.part_widths_ = part_widths(
                self.backbone, self.weights, options["layers"], options["pooling"], options["resolution"]
            )
        else:
            backbone = resolve_backbone(self.backbone, self.weights, **options)
            blank = backbone.prepare(Image.new("RGB", (256, 256)))
            self.part_widths_ = [part.shape[1] for part in describe_parts(backbone, [blank], self.device)]
        self.n_features_out_ = sum(self.part_widths_)
        self.weights_sum_: str | None = None

    def transform(self, photos: Iterable[Photograph], out: StrPath | None = None) -> Array:
        """Describe photographs.

        Parameters
        ----------
        photos : sequence of str, path-like, bytes, PIL.Image.Image or ndarray of uint8
            Paths, contents of files, or pictures; arrays have the shape (height, width),
            (height, width, 3) or (height, width, 4).
        out : str or path-like, default=None
            A ``.npy`` file to write the descriptors to, so that any number of photographs takes no more
            memory than a few. It gets its name when it is complete.

        Returns
        -------
        descriptors : ndarray of shape (n_photos, n_features), dtype float32
            Row i belongs to ``photos[i]``. With `out`, a read-only memory map of the file.

        Raises
        ------
        UnreadablePhotographError
            If a photograph cannot be read and ``on_error="raise"``; or if none can, and the width of the
            descriptors is not known from `fit`.
        SavedFileError
            If the store in `cache` is damaged or of a newer format.
        WeightsUnavailableError
            If the weights of the backbone are neither here nor can be downloaded, or are others than those
            that it has described photographs with since `fit`.
        """
        self._validate_params()
        return self._transform(_check_photographs(photos), out)

    def _transform(
        self, photos: list[Photograph], out: StrPath | None = None, steps: Steps | None = None
    ) -> Array:
        backbone = resolve_backbone(self.backbone, self.weights, **self._backbone_options())
        self._check_weights(backbone)
        progress = Progress(len(photos), "photographs", verbose=self.verbose, callback=self.callback)
        failures = []
        gathered = MemoryOutput(len(photos)) if out is None else FileOutput(len(photos), out)
        batches = self._described_batches(backbone, photos)
        with gathered, closing(batches), quiet_pillow():
            for batch in batches:
                failures += self._failed(photos, batch.failures)
                if batch.descriptors is not None:
                    gathered.write(batch.rows, batch.descriptors)
                progress.show(batch.stop)
                if steps is not None:
                    steps.show(batch.stop)
            self.failures_ = sorted(failures)
            if len(failures) == len(photos):
                if not hasattr(self, "n_features_out_"):
                    raise UnreadablePhotographError(
                        f"none of the {len(photos)} photographs can be read. {self._first_failure()}"
                    )
                gathered.write([0], np.full((1, self.n_features_out_), np.nan))
            descriptors = gathered.finish()
        if failures:
            warnings.warn(
                f"{len(failures)} of {len(photos)} photographs cannot be read; their rows are NaN, and "
                f"failures_ lists them all. {self._first_failure()}",
                UserWarning,
                stacklevel=3,
            )
        return descriptors

    def get_feature_names_out(self, input_features: object = None) -> Array:
        """Name the numbers of a descriptor.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            ``"imagefeaturizer0"``, ...; of several parts ``"imagefeaturizer_middle_mean0"``, ...
        """
        names = super().get_feature_names_out(input_features)
        options = self._backbone_options()
        parts = [f"_{layer}_{how}" for layer, how in product(options["layers"], options["pooling"])]
        if len(parts) == 1:
            return names
        return np.array(
            [
                f"imagefeaturizer{part}{i}"
                for part, width in zip(parts, self.part_widths_)
                for i in range(width)
            ],
            dtype=object,
        )

    def _described_batches(
        self, backbone: Backbone | CallableBackbone, photos: list[Photograph]
    ) -> Generator[DescribedBatch]:
        describe = partial(
            described_batches,
            backbone,
            batch_size=self.batch_size,
            device=self.device,
            precision=self.precision,
            max_pixels=self.max_pixels,
            normalized=self.normalize,
        )
        if self.cache is None:
            yield from describe(photos)
            return
        precision = choose_precision(self.precision, choose_device(self.device))
        description = describe_settings(backbone, precision, self.normalize)
        with DescriptorStore(self.cache) as store:
            settings = store.open_settings(description)
            yield from recalled_batches(store, settings, photos, describe, max_pixels=self.max_pixels)

    def _check_weights(self, backbone: Backbone | CallableBackbone) -> None:
        """Remember the weights of a backbone by name, and refuse others: descriptors would not compare."""
        if not isinstance(backbone, Backbone) or not backbone.is_fixed or not hasattr(self, "weights_sum_"):
            return
        found = sum_of_known_weights(backbone.network)
        if self.weights_sum_ not in (None, found):
            raise WeightsUnavailableError(
                f"backbone={self.backbone!r} has other weights here (SHA-256 sum {found[:12]}…) than those "
                f"that described photographs before ({self.weights_sum_[:12]}…), and their descriptors "
                "do not compare: install the version of the weights of then, or fit anew"
            )
        self.weights_sum_ = found

    def _failed(
        self, photos: list[Photograph], failures: list[tuple[int, UnreadablePhotographError]]
    ) -> list[FailedPhotograph]:
        if failures and self.on_error == "raise":
            row, error = failures[0]
            raise UnreadablePhotographError(
                f"photos[{row}] cannot be read: {describe_source(photos[row])}: {error}. Leave it out, or "
                'pass on_error="warn" to go on without it'
            ) from error
        return [FailedPhotograph(row, name_source(photos[row]), str(error)) for row, error in failures]

    def _first_failure(self) -> str:
        return f"The first: {self.failures_[0].path!r}: {self.failures_[0].reason}"

    def _backbone_options(self) -> dict[str, Any]:
        return {
            "layers": _as_names("layers", self.layers),
            "pooling": _as_names("pooling", self.pooling, ("mean", "max")),
            "resolution": self.resolution,
            "framing": _as_names("framing", self.framing, N_SQUARES),
            "mirrored": self.mirrored,
        }

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags


def _as_names(
    parameter: str, value: str | tuple[str, ...], known: Collection[str] | None = None
) -> tuple[str, ...]:
    """Make a name a tuple of one, and check that names are known and named once."""
    names = (value,) if isinstance(value, str) else tuple(value)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(f"{parameter}={value!r} must be a name or a tuple of different names")
    if known and not set(names) <= set(known):
        raise ValueError(f"{parameter}={value!r} must be made of {', '.join(map(repr, known))}")
    return names


def _check_photographs(photos: Iterable[Photograph]) -> list[Photograph]:
    if isinstance(photos, str | bytes | os.PathLike):
        raise ValueError(
            f"photos={photos!r} is one photograph or folder: pass a list, "
            "such as txt2img.images.list_photographs(folder)"
        )
    photos = list(photos)
    if not photos:
        raise ValueError("photos is empty: pass at least one photograph")
    return photos

"""ImageFeaturizer: a photograph becomes a visual descriptor."""

import os
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral

import joblib
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.preprocessing import normalize
from sklearn.utils._param_validation import Interval, StrOptions

from txt2img._progress import Progress
from txt2img.exceptions import UnreadablePhotographError
from txt2img.images.backbones import backbone_width, resolve_backbone
from txt2img.images.reading import read_photograph


class ImageFeaturizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
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
        - A torch module that maps pictures (n, 3, side, side), preprocessed as ImageNet's networks
          expect them at 224 pixels, to descriptors (n, d) or feature maps (n, d, h, w), which are averaged.
        - A callable that maps a list of RGB ``PIL.Image.Image`` to an array of shape (n, d).
    weights : str, default="DEFAULT"
        For torchvision's names, which weights: ``"IMAGENET1K_V1"``, ``"IMAGENET1K_V2"``, ...
    framing : {"center", "whole"}, default="center"
        What the network sees of a photograph that is not square: ``"center"`` cuts a square out of its
        middle, as the network was trained; ``"whole"`` squeezes all of it into the square. Callables
        always get the whole picture as it is.
    normalize : bool, default=True
        Whether to bring every descriptor to Euclidean length 1.
    batch_size : int, default=32
        Photographs in one pass of the network.
    device : str, default="auto"
        Torch device. ``"auto"`` takes CUDA, then MPS, then the processor, whichever is there first.
    max_pixels : int, default=200_000_000
        Photographs with more pixels are refused unread, as a file of a few bytes may claim to be huge.
    on_error : {"raise", "warn"}, default="raise"
        What to do with a photograph that cannot be read: raise an error, or warn, leave a row of NaN in
        its place and go on, so that row i of the output always belongs to photograph i.
    verbose : int, default=0
        If positive, progress with rate and time left is printed to standard error.

    Attributes
    ----------
    n_features_out_ : int
        Width of the descriptors.
    failures_ : list of (int, str)
        Row and message of each photograph that the last call of `transform` could not read.

    See Also
    --------
    DescriptorWhitener : Makes descriptors easier to predict and to compare.

    References
    ----------
    Razavian et al., "CNN Features off-the-shelf: an Astounding Baseline for Recognition", CVPR
    workshops 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from txt2img import ImageFeaturizer
    >>> photograph = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    >>> ImageFeaturizer("efficientnet_lite0").fit_transform([photograph]).shape
    (1, 1280)

    Any callable will do as backbone:

    >>> def mean_colour(images):
    ...     return np.stack([np.asarray(image).mean((0, 1)) for image in images])
    >>> ImageFeaturizer(mean_colour, normalize=False).fit_transform([photograph]).shape
    (1, 3)
    """

    _parameter_constraints: dict = {
        "backbone": [str, callable],
        "weights": [str],
        "framing": [StrOptions({"center", "whole"})],
        "normalize": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "max_pixels": [Interval(Integral, 1, None, closed="left")],
        "on_error": [StrOptions({"raise", "warn"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone="resnet152",
        *,
        weights="DEFAULT",
        framing="center",
        normalize=True,
        batch_size=32,
        device="auto",
        max_pixels=200_000_000,
        on_error="raise",
        verbose=0,
    ):
        self.backbone = backbone
        self.weights = weights
        self.framing = framing
        self.normalize = normalize
        self.batch_size = batch_size
        self.device = device
        self.max_pixels = max_pixels
        self.on_error = on_error
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, photos, y=None):
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
            If there are no photographs.
        """
        from PIL import Image

        _check_photographs(photos)
        if isinstance(self.backbone, str):
            self.n_features_out_ = backbone_width(self.backbone, self.weights)
        else:
            backbone = resolve_backbone(self.backbone, self.weights)
            blank = Image.new("RGB", (256, 256))
            self.n_features_out_ = self._describe(backbone, [backbone.prepare(blank, self.framing)]).shape[1]
        return self

    def transform(self, photos):
        """Describe photographs.

        Parameters
        ----------
        photos : sequence of str, path-like, bytes, PIL.Image.Image or ndarray of uint8
            Paths, contents of files, or pictures; arrays have the shape (height, width),
            (height, width, 3) or (height, width, 4).

        Returns
        -------
        descriptors : ndarray of shape (n_photos, n_features), dtype float32
            Row i belongs to ``photos[i]``.

        Raises
        ------
        UnreadablePhotographError
            If a photograph cannot be read and ``on_error="raise"``.
        WeightsUnavailableError
            If the weights of the backbone are neither here nor can be downloaded.
        """
        self._validate_params()
        photos = _check_photographs(photos)
        backbone = resolve_backbone(self.backbone, self.weights)
        progress = Progress(len(photos), "photographs") if self.verbose else None
        descriptors = None
        self.failures_ = []
        for rows, prepared in self._prepared_batches(backbone, photos):
            readable = [row for row, pixels in zip(rows, prepared) if pixels is not None]
            if readable:
                found = self._describe(backbone, [pixels for pixels in prepared if pixels is not None])
                if descriptors is None:
                    descriptors = np.full((len(photos), found.shape[1]), np.nan, np.float32)
                descriptors[readable] = found
            if progress:
                progress.show(rows[-1] + 1)
        if descriptors is None:
            raise UnreadablePhotographError(
                f"none of the {len(photos)} photographs can be read. The first: {self.failures_[0][1]}"
            )
        if self.failures_:
            warnings.warn(
                f"{len(self.failures_)} of {len(photos)} photographs cannot be read; their rows are NaN, and "
                f"failures_ lists them all. The first: {self.failures_[0][1]}",
                UserWarning,
                stacklevel=2,
            )
        return descriptors

    def _prepared_batches(self, backbone, photos):
        """Yield (rows, prepared pictures) batch by batch, decoded in threads two batches ahead.

        Photographs that cannot be read have None in their place if they do not raise.
        """
        starts = range(0, len(photos), self.batch_size)
        batches = (range(start, min(start + self.batch_size, len(photos))) for start in starts)
        with ThreadPoolExecutor(joblib.cpu_count()) as pool:
            ahead = deque()
            try:
                for rows in batches:
                    ahead.append((rows, [pool.submit(self._prepare, backbone, photos[row]) for row in rows]))
                    if len(ahead) > 2:
                        yield self._finished(*ahead.popleft())
                while ahead:
                    yield self._finished(*ahead.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, backbone, photograph):
        return backbone.prepare(read_photograph(photograph, max_pixels=self.max_pixels), self.framing)

    def _finished(self, rows, futures):
        prepared = []
        for row, future in zip(rows, futures):
            try:
                prepared.append(future.result())
            except UnreadablePhotographError as error:
                if self.on_error == "raise":
                    raise UnreadablePhotographError(
                        f'photos[{row}] cannot be read: {error}. Leave it out, or pass on_error="warn" to '
                        "go on without it"
                    ) from error
                self.failures_.append((row, str(error)))
                prepared.append(None)
        return rows, prepared

    def _describe(self, backbone, prepared):
        found = backbone.describe(prepared, self.device)
        if found.ndim != 2 or len(found) != len(prepared):
            raise ValueError(
                f"backbone gave an array of shape {found.shape} for {len(prepared)} photographs: "
                f"it must give one row a photograph, shape ({len(prepared)}, n_features)"
            )
        return normalize(found, copy=False) if self.normalize else found

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags


def _check_photographs(photos):
    if isinstance(photos, str | bytes | os.PathLike):
        raise ValueError(
            f"photos={photos!r} is one photograph or folder: pass a list, "
            "such as txt2img.images.list_photographs(folder)"
        )
    photos = list(photos)
    if not photos:
        raise ValueError("photos is empty: pass at least one photograph")
    return photos

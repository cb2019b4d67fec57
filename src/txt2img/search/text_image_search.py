"""TextImageSearch: from captioned photographs and a heap without captions to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, overload

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from txt2img._doc_link import DocLinkMixin
from txt2img._types import Array
from txt2img.images import class_descriptors
from txt2img.persistence import SaveMixin
from txt2img.search.answers import Hits, Word
from txt2img.search.asking import ask
from txt2img.search.belonging import check_belonging
from txt2img.search.catalogue import Ids, Metadata, Where
from txt2img.search.confidence import ConfidenceCalibrator
from txt2img.search.evaluating import evaluate
from txt2img.search.index import ImageIndex
from txt2img.search.inputs import (
    Captions,
    Photographs,
    are_descriptors,
    as_paths,
    as_photographs,
    check_captions,
    check_descriptors,
    check_k,
    check_share,
    map_descriptors,
)
from txt2img.search.learning import learn, new_index
from txt2img.search.presets import PRESETS, class_names_parts, default_parts
from txt2img.search.query import Query
from txt2img.search.words import best_words, word_directions

if TYPE_CHECKING:
    from txt2img.evaluation import RetrievalReport


class TextImageSearch(SaveMixin, DocLinkMixin, BaseEstimator):
    """Learn from captioned photographs, then find uncaptioned ones by what they show.

    Wherever photographs are passed, their descriptors may be passed instead, as an array of floats of
    shape (n_photos, d): CLIP's, DINO's or your own.

    Parameters
    ----------
    featurizer : transformer, default=None
        From photographs to descriptors; by default an ``ImageFeaturizer`` that takes two layers of
        ResNet-152. For several backbones side by side take a ``FeatureUnion``.
    whitener : transformer, "passthrough" or None, default=None
        From descriptors to the space that is searched; by default ``DescriptorWhitener()``.
    vectorizer : transformer, default=None
        From sentences to vectors; by default ``CaptionVectorizer()``.
    regressor : regressor, default=None
        From vectors to descriptors; by default a ``MapEnsemble`` of ridge regression and a contrastive map.
    index : ImageIndex, default=None
        Finds the nearest descriptors; by default ``ImageIndex(hubness="softmax")``, whose bank of typical
        queries are the training captions.
    bank_size : int, default=10_000
        How many training captions, evenly spread, make up that bank.
    calibration_share : float or None, default=0.15
        Share of the captioned photographs, at most 1,000, that `fit` sets aside in a first training to find
        out how sure answers are; the second one learns from all. None saves that time, and hits then have
        no probability; nor have they if fewer than 20 photographs would be set aside or left.

    Attributes
    ----------
    featurizer_, whitener_, vectorizer_, regressor_ : estimators
        The fitted parts; `featurizer_` is None if the search was fitted on descriptors and no featurizer
        was given, `whitener_` is None for ``"passthrough"``.
    index_ : ImageIndex or None
        The gallery; None before the first call of `add`.
    bank_ : ndarray of shape (n_bank, n_features), dtype float32
        Predicted descriptors of training captions.
    calibrator_ : ConfidenceCalibrator or None
        Makes probabilities of scores.
    words_ : dict of str to int
        Words of the training captions, with the number of photographs that they describe.
    centre_ : ndarray of shape (n_features,), dtype float32
        Mean of the descriptors of the training photographs, in the space that is searched and of length 1.
    n_features_in_ : int
        Width of the descriptors before whitening.

    Examples
    --------
    >>> from txt2img import TextImageSearch
    >>> from txt2img.datasets import make_captioned_descriptors
    >>> captions, descriptors = make_captioned_descriptors(300, random_state=0)
    >>> search = TextImageSearch().fit(descriptors[:250], captions[:250])
    >>> search.add(descriptors[250:], ids=[f"photo{i}" for i in range(50)])
    TextImageSearch()
    >>> [hit.id for hit in search.query(captions[250][0], k=3)]  # doctest: +SKIP
    ['photo0', 'photo31', 'photo7']
    """

    index_: ImageIndex | None
    bank_: Array
    calibrator_: ConfidenceCalibrator | None
    words_: dict[str, int]
    centre_: Array

    def __init__(
        self,
        featurizer: Any = None,
        *,
        whitener: Any = None,
        vectorizer: Any = None,
        regressor: Any = None,
        index: ImageIndex | None = None,
        bank_size: int = 10_000,
        calibration_share: float | None = 0.15,
    ) -> None:
        self.featurizer = featurizer
        self.whitener = whitener
        self.vectorizer = vectorizer
        self.regressor = regressor
        self.index = index
        self.bank_size = bank_size
        self.calibration_share = calibration_share

    @classmethod
    def from_preset(cls, name: str, **parts: Any) -> Self:
        """Build a search by name.

        Parameters
        ----------
        name : {"default", "best", "cross_language", "recipe", "class_names"}
            - ``"default"``: descriptors from two layers of ResNet-152, whitened halfway; TF-IDF of all
              words; the average of two maps, ridge regression and a contrastive one; cosine with hubness
              correction. What ``TextImageSearch()`` is too.
            - ``"best"``: the default with three offline backbones side by side, an embedding of the
              sentence beside the words and a second contrastive map; needs the extra ``offline``.
            - ``"cross_language"``: the best without the words, for asking in other languages than those of
              the captions.
            - ``"recipe"``: the recipe that this library started from and is measured against. ResNet-152
              descriptors of length 1; TF-IDF of words seen in at least 2 photographs and at most 10 % of
              them; one network with 2,048 hidden units and linear output, mean squared error, 10 epochs;
              search by Euclidean distance.
            - ``"class_names"``: for the classes of a backbone in place of captioned photographs; see
              :meth:`from_class_names`.
        **parts : estimators
            Parts to put in place of the preset's, such as ``featurizer=ImageFeaturizer("resnet50")``.

        Returns
        -------
        TextImageSearch
            Not fitted yet.

        Raises
        ------
        ValueError
            If no preset goes by that name.

        Examples
        --------
        >>> from txt2img import ImageFeaturizer, TextImageSearch
        >>> search = TextImageSearch.from_preset("recipe", featurizer=ImageFeaturizer("mobilenet_v2"))
        >>> search.regressor.hidden
        2048
        """
        if name not in PRESETS:
            raise ValueError(f"name={name!r} is not a preset: choose one of {', '.join(map(repr, PRESETS))}")
        return cls(**(PRESETS[name]() | parts))

    @classmethod
    def from_class_names(cls, backbone: str = "efficientnet_lite2") -> Self:
        """Build a search without any captioned photograph, from the names of the backbone's own classes.

        It knows what its classes and their groups look like, and the sentence encoder carries that over to
        the words of a query. A few thousand captions of your own make a far better search.

        Parameters
        ----------
        backbone : str, default="efficientnet_lite2"
            Name of a backbone trained on ImageNet.

        Returns
        -------
        TextImageSearch
            Fitted, with an empty gallery. Needs the extra ``offline`` for the sentence encoder.

        See Also
        --------
        txt2img.images.class_descriptors : What it is fitted on.

        Examples
        --------
        >>> from txt2img import TextImageSearch
        >>> from txt2img.datasets import load_sample_photographs
        >>> photos = load_sample_photographs().photos
        >>> search = TextImageSearch.from_class_names().add(photos)
        >>> search.query("un gato", k=1)[0].id.endswith("chelsea.png")
        True
        """
        featurizer = class_names_parts()["featurizer"].set_params(backbone=backbone)
        search = cls.from_preset("class_names", featurizer=featurizer)
        return search.fit(*class_descriptors(backbone))

    def fit(self, photos: Photographs, captions: Captions) -> Self:
        """Learn from captioned photographs; a gallery added before is emptied.

        Parameters
        ----------
        photos : sequence of photographs, or array of shape (n_photos, d)
            Whatever the featurizer takes, or descriptors. Photographs that it could not read (rows of
            NaN, after a warning) are left out together with their captions.
        captions : sequence of length n_photos
            The sentences of each photograph, as a list or as one string. A photograph without any (an
            empty list) helps to fit the whitener.

        Returns
        -------
        self : TextImageSearch
            The fitted search; as it was before if an error is raised.

        Raises
        ------
        ValueError
            If there are no captions, their number is not that of the photographs, descriptors that were
            passed hold NaN, all photographs look the same, or `calibration_share` is not between 0 and 1.
        """
        photos = as_photographs(photos)
        captions = check_captions(captions, len(photos))
        check_share(self.calibration_share)
        given = {name: getattr(self, name) for name in default_parts()}
        parts = default_parts() | {name: part for name, part in given.items() if part is not None}
        if self.featurizer is None and are_descriptors(photos):
            parts["featurizer"] = None
        learned = learn(parts, photos, captions, self.bank_size, self.calibration_share)
        self.__dict__.pop("_word_directions", None)
        self.__dict__.update(learned, index_=None)
        return self

    def add(self, photos: Photographs, *, ids: Ids | None = None, metadata: Metadata | None = None) -> Self:
        """Take photographs into the gallery.

        Parameters
        ----------
        photos : sequence of photographs, path of a folder, or array of shape (n_photos, d)
            A folder is walked through; descriptors are taken as they are.
        ids : sequence of hashables of length n_photos, default=None
            Name of each photograph. By default its path, else a running number.
        metadata : dict of str to sequence of length n_photos, or DataFrame, default=None
            What else is known of the photographs, for `where` in `query`; the same columns in every call.

        Returns
        -------
        self : TextImageSearch
            With the photographs in its gallery; as it was before if an error is raised.

        Raises
        ------
        NotFittedError
            If the search was not fitted yet.
        ValueError
            If an id is in the gallery already, or a folder holds no photograph.
        """
        check_is_fitted(self)
        photos = as_photographs(photos)
        ids = as_paths(photos) if ids is None else ids
        descriptors = self.transform(photos)
        if self.index_ is None:
            self.index_ = new_index(self._index_part(), descriptors, self.bank_, ids, metadata)
        else:
            self.index_.add(descriptors, ids=ids, metadata=metadata)
        return self

    def remove(self, ids: Ids) -> Self:
        """Take photographs out of the gallery.

        Parameters
        ----------
        ids : sequence of hashables
            Their ids.

        Returns
        -------
        self : TextImageSearch
            Without them; as it was before if an error is raised.

        Raises
        ------
        KeyError
            If an id is not in the gallery.
        """
        self._gallery().remove(ids)
        return self

    @overload
    def query(
        self,
        text: str | Query,
        k: int = 5,
        *,
        where: Where | None = None,
        group_duplicates: float | None = None,
    ) -> Hits: ...

    @overload
    def query(
        self,
        text: list[str] | list[Query] | list[str | Query],
        k: int = 5,
        *,
        where: Where | None = None,
        group_duplicates: float | None = None,
    ) -> list[Hits]: ...

    def query(
        self,
        text: str | Query | list[str] | list[Query] | list[str | Query],
        k: int = 5,
        *,
        where: Where | None = None,
        group_duplicates: float | None = None,
    ) -> Hits | list[Hits]:
        """Find the photographs that sentences describe, or that queries put together ask for.

        Parameters
        ----------
        text : str, Query, or list of str and Query
            A sentence, a :class:`~txt2img.search.Query` of sentences and photographs with weights, or
            several of either. A photograph that is asked with and is in the gallery finds itself first.
        k : int, default=5
            How many photographs to find for each, at most as many as there are.
        where : dict, collection of ids, or mask of shape (n_photographs,), default=None
            Which photographs to look at, as in :meth:`ImageIndex.search`.
        group_duplicates : float, default=None
            Cosine from which on two photographs come as one hit, such as 0.95.

        Returns
        -------
        Hits, or list of Hits
            A list of Hit, the best first, which a notebook shows as photographs; for a list one each.

        Raises
        ------
        NotFittedError
            If the search was not fitted yet.
        ValueError
            If the gallery is empty, k is larger than it, the terms of a query cancel out, or a photograph
            is asked with and the search was fitted on descriptors.
        """
        if isinstance(text, str | Query):
            return self.query([text], k, where=where, group_duplicates=group_duplicates)[0]
        return ask(self, text, k, where, group_duplicates)

    def describe(self, photos: Photographs, k: int = 5) -> list[list[Word]]:
        """Find the words of the training captions that describe photographs best.

        Parameters
        ----------
        photos : sequence of photographs, path of a folder, or array of shape (n_photos, d)
            Photographs or their descriptors.
        k : int, default=5
            How many words to find for each, at most as many as there are.

        Returns
        -------
        list of list of Word
            The best first; none for a photograph that could not be read.

        Raises
        ------
        NotFittedError
            If the search was not fitted yet.
        ValueError
            If no word of the training captions is known to the vectorizer by itself, or as in `transform`.
        """
        check_is_fitted(self)
        check_k(k)
        return best_words(self.transform(photos), *self._word_directions, self.centre_, k)

    def predict(self, sentences: Sequence[str]) -> Array:
        """Predict the descriptors that sentences describe, in the space that is searched.

        Parameters
        ----------
        sentences : list of str
            Sentences.

        Returns
        -------
        ndarray of shape (n_sentences, n_features)
            Predicted descriptors.
        """
        if not hasattr(self, "regressor_"):
            check_is_fitted(self)
        return self.regressor_.predict(self.vectorizer_.transform(sentences))

    def transform(self, photos: Photographs) -> Array:
        """Describe photographs in the space that is searched.

        Parameters
        ----------
        photos : sequence of photographs, path of a folder, or array of shape (n_photos, d)
            Photographs or their descriptors.

        Returns
        -------
        ndarray of shape (n_photos, n_features)
            Descriptors; a row of NaN for a photograph that could not be read.

        Raises
        ------
        ValueError
            If photographs are passed to a search that was fitted on descriptors, or descriptors of another
            width, or with NaN.
        """
        check_is_fitted(self)
        photos = as_photographs(photos)
        if are_descriptors(photos):
            descriptors = check_descriptors(photos, width=self.n_features_in_)
        elif self.featurizer_ is None:
            raise ValueError(
                "photos holds photographs but the search was fitted on descriptors: pass descriptors "
                "computed in the same way, or build the search with the featurizer that computed them"
            )
        else:
            descriptors = self.featurizer_.transform(photos)
        return map_descriptors(descriptors, self.whitener_, getattr(self.regressor_, "visual_map_", None))

    def evaluate(
        self,
        photos: Photographs,
        captions: Captions,
        *,
        ks: tuple[int, ...] = (1, 2, 5, 10),
        direction: str = "text_to_photograph",
        n_folds: int | None = None,
        columns: Mapping[str, Sequence[object]] | None = None,
    ) -> RetrievalReport:
        """Ask with the captions of unseen photographs, and see at which rank the right one comes.

        The gallery of this evaluation are the photographs passed, not those taken in by `add`.

        Parameters
        ----------
        photos : sequence of photographs, or array of shape (n_photos, d)
            Photographs that `fit` has not seen.
        captions : sequence of length n_photos
            The sentences of each; every one is a query.
        ks : tuple of int, default=(1, 2, 5, 10)
            Ranks at which recall is told.
        direction : {"text_to_photograph", "photograph_to_text"}, default="text_to_photograph"
            What asks for what; see `RetrievalEvaluator`.
        n_folds : int, default=None
            Part the photographs into so many galleries; see `RetrievalEvaluator`. Answers have no
            probabilities then, as these are for one gallery.
        columns : dict of str to sequence of shape (n_sentences,), default=None
            What else is known of the sentences, in their order, photograph by photograph.

        Returns
        -------
        RetrievalReport
            Recall at each of ks, median and mean rank, and chance beside them. Where sentences ask, its
            columns are ``"text"``, ``"n_words"``, ``"known_words"`` (the share of the words of a sentence
            that are in `words_`, accents aside) and those passed. The ids are the paths of the photographs,
            or their numbers if they are not passed as paths.
        """
        check_is_fitted(self)
        return evaluate(self, photos, captions, ks, direction, n_folds, columns)

    def __len__(self) -> int:
        """Return the number of photographs in the gallery."""
        index = getattr(self, "index_", None)
        return 0 if index is None else len(index)

    def __bool__(self) -> bool:
        """Be true even with an empty gallery."""
        return True

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "regressor_")

    def _restore_state(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        check_belonging(self)

    def _index_part(self) -> ImageIndex:
        return default_parts()["index"] if self.index is None else self.index

    @cached_property
    def _word_directions(self) -> tuple[Array, Array]:
        return word_directions(self.words_, self.vectorizer_, self.regressor_, self.centre_)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_word_directions"}

    def _gallery(self) -> ImageIndex:
        if not hasattr(self, "regressor_"):
            check_is_fitted(self)
        if self.index_ is None or not len(self.index_):
            raise ValueError("the gallery is empty: add photographs with add(photos) first")
        return self.index_

"""TextImageSearch: from captioned photographs and a heap without captions to answers."""

from functools import cached_property

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from txt2img._doc_link import DocLinkMixin
from txt2img.images import class_descriptors
from txt2img.persistence import SaveMixin
from txt2img.search.answers import Answers, as_hits
from txt2img.search.belonging import check_belonging
from txt2img.search.inputs import (
    are_descriptors,
    as_photographs,
    check_captions,
    check_descriptors,
    check_k,
    check_share,
    flatten_captions,
    map_descriptors,
)
from txt2img.search.learning import learn, new_index
from txt2img.search.presets import PRESETS, class_names_parts, default_parts
from txt2img.search.query import Query, as_queries, query_vectors
from txt2img.search.words import best_words, known_word_shares, word_directions


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

    def __init__(
        self,
        featurizer=None,
        *,
        whitener=None,
        vectorizer=None,
        regressor=None,
        index=None,
        bank_size=10_000,
        calibration_share=0.15,
    ):
        self.featurizer = featurizer
        self.whitener = whitener
        self.vectorizer = vectorizer
        self.regressor = regressor
        self.index = index
        self.bank_size = bank_size
        self.calibration_share = calibration_share

    @classmethod
    def from_preset(cls, name, **parts):
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
    def from_class_names(cls, backbone="efficientnet_lite2"):
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

    def fit(self, photos, captions):
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
        vars(self).update(learned, index_=None)
        return self

    def add(self, photos, *, ids=None, metadata=None):
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
        if ids is None and not are_descriptors(photos) and all(isinstance(p, str) for p in photos):
            ids = photos
        descriptors = self.transform(photos)
        if self.index_ is None:
            self.index_ = new_index(self._index_part(), descriptors, self.bank_, ids, metadata)
        else:
            self.index_.add(descriptors, ids=ids, metadata=metadata)
        return self

    def remove(self, ids):
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

    def query(self, text, k=5, *, where=None, group_duplicates=None):
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
        gallery = self._gallery()
        alone = isinstance(text, str | Query)
        queries = as_queries([text] if alone else text)
        if not queries:
            return []
        vectors, text_shares = query_vectors(queries, self.predict, self.transform)
        # The bank of the hubness correction are sentences, and photographs are other queries.
        options = {"correction": text_shares, "where": where, "group_duplicates": group_duplicates}
        if self.calibrator_ is not None:
            options["temperature"] = self.calibrator_.temperature_
        found = gallery.search(vectors, k, **options)
        answers = as_hits(*found, calibrated=text_shares == 1, grouped=group_duplicates is not None)
        return answers[0] if alone else Answers(answers, text)

    def describe(self, photos, k=5):
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

    def predict(self, sentences):
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

    def transform(self, photos):
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
        photos,
        captions,
        *,
        ks=(1, 2, 5, 10),
        direction="text_to_photograph",
        n_folds=None,
        columns=None,
    ):
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
        from txt2img.evaluation import RetrievalEvaluator

        check_is_fitted(self)
        photos = as_photographs(photos)
        captions = check_captions(captions, len(photos))
        # Paths tell people more than numbers do, if they tell photographs apart.
        are_names = all(isinstance(photo, str) for photo in photos) and len(set(photos)) == len(photos)
        ids = photos if are_names else list(range(len(photos)))
        index = new_index(self._index_part(), self.transform(photos), self.bank_, ids=ids)
        sentences, photograph = flatten_captions(captions)
        predicted = self.predict(sentences)
        known = {"texts": sentences}
        if direction == "text_to_photograph":
            known["columns"] = {"known_words": known_word_shares(sentences, self.words_)} | (columns or {})
            if self.calibrator_ is not None and n_folds is None:
                first = index.predict(predicted)[:, None]
                known["confidence"] = self.calibrator_.probabilities(predicted, index, first)[:, 0]
        elif columns:
            known["columns"] = columns
        evaluator = RetrievalEvaluator(ks=ks, direction=direction, n_folds=n_folds)
        return evaluator.evaluate(predicted, index, [ids[row] for row in photograph], **known)

    def __len__(self):
        """Return the number of photographs in the gallery."""
        return 0 if getattr(self, "index_", None) is None else len(self.index_)

    def __bool__(self):
        """Be true even with an empty gallery."""
        return True

    def __sklearn_is_fitted__(self):
        return hasattr(self, "regressor_")

    def _restore_state(self, state):
        vars(self).update(state)
        check_belonging(self)

    def _index_part(self):
        return default_parts()["index"] if self.index is None else self.index

    @cached_property
    def _word_directions(self):
        return word_directions(self.words_, self.vectorizer_, self.regressor_, self.centre_)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_word_directions"}

    def _gallery(self):
        if not hasattr(self, "regressor_"):
            check_is_fitted(self)
        if not len(self):
            raise ValueError("the gallery is empty: add photographs with add(photos) first")
        return self.index_

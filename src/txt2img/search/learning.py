"""What a search learns from captioned photographs: its map, typical queries, and how sure answers are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import normalize

from txt2img._types import Array, Matrix, Photograph
from txt2img.search.catalogue import Ids, Metadata
from txt2img.search.confidence import ConfidenceCalibrator
from txt2img.search.inputs import (
    are_descriptors,
    check_bank_size,
    check_descriptors,
    check_parts,
    flatten_captions,
    groups_for,
    map_descriptors,
)
from txt2img.search.words import count_words

# With fewer photographs set aside a temperature would be chance.
FEWEST_SET_ASIDE = 20
MOST_SET_ASIDE = 1000
# The temperature hardly depends on them: on Flickr8k by 2 % between 3,000 and 5,100 photographs.
ENOUGH_LEARNED = 3000


def learn(
    parts: Mapping[str, Any],
    photos: Sequence[Photograph] | Array,
    captions: list[list[str]],
    bank_size: int,
    calibration_share: float | None,
) -> dict[str, Any]:
    """Fit clones of the parts of a search.

    Parameters
    ----------
    parts : dict of str to estimator
        Featurizer (None for descriptors that come without one), whitener, vectorizer, regressor and index.
    photos : list of photographs, or ndarray of shape (n_photos, d)
        Photographs, or their descriptors.
    captions : list of list of str
        The sentences of each photograph.
    bank_size, calibration_share
        As in `TextImageSearch`.

    Returns
    -------
    dict of str to object
        The fitted attributes of `TextImageSearch`, but for the index.

    Raises
    ------
    ValueError
        If no photograph that can be read has a sentence, descriptors hold NaN or are all the same, or a
        parameter is not valid.
    """
    check_parts(parts)
    check_bank_size(bank_size)
    featurizer: Any = None if parts["featurizer"] is None else clone(parts["featurizer"])
    if are_descriptors(photos):
        descriptors = check_descriptors(photos)
    else:
        descriptors = featurizer.fit(photos).transform(photos)
        seen = ~np.isnan(descriptors).all(axis=1)
        descriptors = descriptors[seen]
        captions = [own for own, kept in zip(captions, seen) if kept]
    whitener = None if parts["whitener"] == "passthrough" else clone(parts["whitener"]).fit(descriptors)
    targets = map_descriptors(descriptors, whitener)
    if not targets.any():
        raise ValueError(
            f"photos holds {len(descriptors)} photographs that all have the same descriptor, so that nothing "
            'tells them apart: pass photographs that differ, or take whitener="passthrough"'
        )
    sentences, photograph = flatten_captions(captions)
    if not sentences:
        raise ValueError("captions holds no sentence of a readable photograph: pass at least one")
    vectorizer = clone(parts["vectorizer"])
    vectors = vectorizer.fit_transform(sentences, targets[photograph], **groups_for(vectorizer, photograph))
    calibrator = None
    if calibration_share is not None:
        calibrator = calibrate(
            parts["regressor"],
            parts["index"],
            vectors,
            targets,
            photograph,
            share=calibration_share,
            bank_size=bank_size,
        )
    regressor = fit_regressor(parts["regressor"], vectors, targets, photograph)
    searched = map_descriptors(targets, getattr(regressor, "visual_map_", None))
    return {
        "featurizer_": featurizer,
        "whitener_": whitener,
        "vectorizer_": vectorizer,
        "regressor_": regressor,
        "bank_": predict_bank(regressor, vectors, bank_size),
        "calibrator_": calibrator,
        "words_": count_words(captions),
        "centre_": normalize(searched).mean(axis=0, dtype=np.float32),
        "n_features_in_": descriptors.shape[1],
    }


def fit_regressor(regressor: Any, vectors: Matrix, targets: Array, photograph: Array) -> Any:
    """Clone and fit a regressor to one row a caption, telling it the photographs if it asks."""
    return clone(regressor).fit(vectors, targets[photograph], **groups_for(regressor, photograph))


def predict_bank(regressor: Any, vectors: Matrix, size: int) -> Array:
    """Predict the descriptors of `size` captions, evenly spread."""
    spread = np.unique(np.linspace(0, vectors.shape[0] - 1, size).astype(np.intp))
    return np.asarray(regressor.predict(vectors[spread]), np.float32)


def new_index(
    index: Any,
    descriptors: Array,
    bank: Array,
    ids: Ids | None = None,
    metadata: Metadata | None = None,
) -> Any:
    """Fill a clone of an index, with the bank if its hubness correction asks for one."""
    wanted = bank if getattr(index, "hubness", None) else None
    return clone(index).fit(descriptors, ids=ids, bank=wanted, metadata=metadata)


def calibrate(
    regressor: Any,
    index: Any,
    vectors: Matrix,
    targets: Array,
    photograph: Array,
    *,
    share: float,
    bank_size: int,
) -> ConfidenceCalibrator | None:
    """Learn from some of the photographs, ask for the others, and fit probabilities to the answers.

    It learns from all that are not set aside if these are few, and from half of all photographs if many.

    Parameters
    ----------
    regressor, index : estimators
        As the search uses them; cloned.
    vectors : ndarray or sparse matrix of shape (n_captions, n_features)
        Vectors of the captions.
    targets : ndarray of shape (n_photos, n_outputs)
        Descriptors.
    photograph : ndarray of shape (n_captions,), dtype int
        Row in targets of each caption's photograph.
    share : float
        Share of the captioned photographs set aside, always the same for the same number of photographs;
        at most 1,000 are.
    bank_size : int
        As in `TextImageSearch`.

    Returns
    -------
    ConfidenceCalibrator or None
        None if too few photographs would be set aside.
    """
    captioned = np.unique(photograph)
    n_aside = min(round(share * len(captioned)), MOST_SET_ASIDE)
    if n_aside < FEWEST_SET_ASIDE or n_aside > len(captioned) - FEWEST_SET_ASIDE:
        return None
    rng = np.random.default_rng(0)
    aside = np.sort(rng.choice(captioned, n_aside, replace=False))
    others = np.setdiff1d(captioned, aside)
    n_learned = min(len(others), max(ENOUGH_LEARNED, len(captioned) // 2))
    known = rng.choice(others, n_learned, replace=False)
    asked, told = np.isin(photograph, aside), np.isin(photograph, known)
    learned = fit_regressor(regressor, vectors[told], targets, photograph[told])
    bank = predict_bank(learned, vectors[told], bank_size)
    gallery = map_descriptors(targets[aside], getattr(learned, "visual_map_", None))
    filled = new_index(index, gallery, bank, ids=aside.tolist())
    return ConfidenceCalibrator().fit(learned.predict(vectors[asked]), filled, photograph[asked].tolist())

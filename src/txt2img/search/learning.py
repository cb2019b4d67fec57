"""What a search learns beside its map: typical queries, and how sure its answers are."""

import numpy as np
from sklearn.base import clone

from txt2img.search.confidence import ConfidenceCalibrator
from txt2img.search.inputs import groups_for, map_descriptors

# With fewer photographs set aside a temperature would be chance.
FEWEST_SET_ASIDE = 20
MOST_SET_ASIDE = 1000


def fit_regressor(regressor, vectors, targets, photograph):
    """Clone and fit a regressor to one row a caption, telling it the photographs if it asks."""
    return clone(regressor).fit(vectors, targets[photograph], **groups_for(regressor, photograph))


def predict_bank(regressor, vectors, size):
    """Predict the descriptors of `size` captions, evenly spread."""
    spread = np.unique(np.linspace(0, vectors.shape[0] - 1, size).astype(np.intp))
    return np.asarray(regressor.predict(vectors[spread]), np.float32)


def new_index(index, descriptors, bank, ids=None):
    """Fill a clone of an index, with the bank if its hubness correction asks for one."""
    return clone(index).fit(descriptors, ids=ids, bank=bank if getattr(index, "hubness", None) else None)


def calibrate(regressor, index, vectors, targets, photograph, *, share, bank_size):
    """Learn from some of the photographs, ask for the others, and fit probabilities to the answers.

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
    aside = np.sort(np.random.default_rng(0).choice(captioned, n_aside, replace=False))
    asked = np.isin(photograph, aside)
    learned = fit_regressor(regressor, vectors[~asked], targets, photograph[~asked])
    bank = predict_bank(learned, vectors[~asked], bank_size)
    gallery = map_descriptors(targets[aside], getattr(learned, "visual_map_", None))
    filled = new_index(index, gallery, bank, ids=aside.tolist())
    return ConfidenceCalibrator().fit(learned.predict(vectors[asked]), filled, photograph[asked].tolist())

"""Correction of hubness: some photographs are near to almost every query and crowd out the right ones."""

import numpy as np

BLOCK_BYTES = 2**26


def csls_bias(bank, gallery, n_neighbors=10):
    """Compute what cross-domain similarity local scaling takes off each photograph's score.

    CSLS ranks photographs by 2 s(q, g) - r(q) - r(g), where r(g) is the mean similarity of g to its
    nearest queries. r(q) is the same for all photographs, so that s(q, g) - r(g) / 2 ranks alike: one
    number a photograph, computed once.

    Parameters
    ----------
    bank : ndarray of shape (n_bank, n_features), dtype float32
        Typical queries: predicted descriptors of training captions, prepared as queries are.
    gallery : ndarray of shape (n_gallery, n_features), dtype float32
        Descriptors of the photographs, prepared as the index keeps them.
    n_neighbors : int, default=10
        How many of the nearest queries count; at most all of the bank.

    Returns
    -------
    ndarray of shape (n_gallery,), dtype float32
        To be added to the similarities; negative for hubs.

    References
    ----------
    Conneau et al., "Word Translation Without Parallel Data", ICLR 2018.
    """
    n_neighbors = min(n_neighbors, len(bank))
    bias = np.empty(len(gallery), np.float32)
    step = max(1, BLOCK_BYTES // (4 * len(bank)))
    for start in range(0, len(gallery), step):
        similarities = gallery[start : start + step] @ bank.T
        nearest = np.partition(similarities, len(bank) - n_neighbors, axis=1)[:, len(bank) - n_neighbors :]
        bias[start : start + step] = -nearest.mean(axis=1) / 2
    return bias

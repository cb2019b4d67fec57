"""Correction of hubness: some photographs are near to almost every query and crowd out the right ones."""

from collections.abc import Iterator

import numpy as np
from scipy.special import logsumexp

from txt2img._types import Array

BLOCK_BYTES = 2**26


def csls_bias(bank: Array, gallery: Array, n_neighbors: int = 10) -> Array:
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
    for block, similarities in _similarity_blocks(bank, gallery):
        nearest = np.partition(similarities, len(bank) - n_neighbors, axis=1)[:, len(bank) - n_neighbors :]
        bias[block] = -nearest.mean(axis=1) / 2
    return bias


def softmax_bias(bank: Array, gallery: Array, temperature: float = 0.05) -> Array:
    """Compute what the inverted softmax takes off each photograph's score.

    The inverted softmax asks not which photograph fits the query, but which query of a bank fits the
    photograph: it divides exp(s(q, g) / T) by the mean of exp(s(b, g) / T) over the queries b of the
    bank. Its logarithm, times T, ranks alike: s(q, g) less one number a photograph.

    Parameters
    ----------
    bank : ndarray of shape (n_bank, n_features), dtype float32
        Typical queries, as in `csls_bias`.
    gallery : ndarray of shape (n_gallery, n_features), dtype float32
        Descriptors of the photographs, as in `csls_bias`.
    temperature : float, default=0.05
        T, in the unit of the similarities. The lower, the more the nearest queries count: towards 0 the
        nearest one alone, towards infinity all alike.

    Returns
    -------
    ndarray of shape (n_gallery,), dtype float32
        To be added to the similarities; lowest for hubs.

    References
    ----------
    Smith et al., "Offline Bilingual Word Vectors, Orthogonal Transformations and the Inverted Softmax",
    ICLR 2017.

    Bogolin et al., "Cross Modal Retrieval with Querybank Normalisation", CVPR 2022.
    """
    bias = np.empty(len(gallery), np.float32)
    for block, similarities in _similarity_blocks(bank, gallery):
        log_mean = logsumexp(similarities / np.float32(temperature), axis=1) - np.log(len(bank))
        bias[block] = -temperature * log_mean
    return bias


def _similarity_blocks(bank: Array, gallery: Array) -> Iterator[tuple[slice, Array]]:
    """Yield slices of the gallery with the similarities of their photographs to the whole bank."""
    step = max(1, BLOCK_BYTES // (4 * len(bank)))
    for start in range(0, len(gallery), step):
        block = slice(start, start + step)
        yield block, gallery[block] @ bank.T

"""Check of `sample_weight`, how much each caption counts."""

from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils.validation import check_array

from txt2img._types import Array


def check_weights(sample_weight: ArrayLike, n_captions: int, dtype: DTypeLike = "numeric") -> Array:
    """Check that there is one finite weight a caption, none negative and not all zero.

    Parameters
    ----------
    sample_weight : array-like of shape (n_captions,)
        Weights.
    n_captions : int
        Number of captions.
    dtype : data type, default="numeric"
        Type of the result; by default that of the weights.

    Returns
    -------
    ndarray of shape (n_captions,), dtype `dtype`
        The weights.

    Raises
    ------
    ValueError
        If they are not as above.
    """
    weight = check_array(sample_weight, ensure_2d=False, dtype=dtype, input_name="sample_weight")
    if weight.shape != (n_captions,):
        raise ValueError(
            f"sample_weight has shape {weight.shape} but there are {n_captions} captions: "
            "pass one weight a caption"
        )
    if (weight < 0).any():
        raise ValueError(f"sample_weight holds {weight.min()}: pass weights of 0 or more")
    if not weight.any():
        raise ValueError("sample_weight is zero for all captions: pass some weight above 0")
    return weight

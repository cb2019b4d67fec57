"""Types that the signatures of the package share.

Shapes and dtypes are told by the docstrings: numpy's types of dtypes say little that is checked.
"""

from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Array: TypeAlias = NDArray[Any]
Matrix: TypeAlias = NDArray[Any] | sp.spmatrix | sp.sparray
Seed: TypeAlias = int | np.random.RandomState | None
StrPath: TypeAlias = str | PathLike[str]
Photograph: TypeAlias = Union[StrPath, bytes, Array, "Image.Image"]

"""True and decoded embeddings in one plane, by UMAP (McInnes et al. 2018): how far apart a pair lies."""

import warnings

import numpy as np
from jaxtyping import Float

from mindeye2.errors import UserError


def umap_plane(
    true: Float[np.ndarray, "n *embedding"], decoded: Float[np.ndarray, "n *embedding"], *, seed: int
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Places of both clouds, flattened, in one plane fitted to their concatenation; default parameters.

    Needs the optional library umap-learn; UserError where it is missing.
    """
    try:
        from umap import UMAP
    except ImportError:
        raise UserError(
            "evaluate.umap: the library umap-learn is missing; run pip install 'mindeye2[umap]', or set it to false"
        ) from None

    rows = np.concatenate([true, decoded]).reshape(2 * len(true), -1).astype(np.float32)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # a seed means one thread, as it should
        plane = UMAP(random_state=seed).fit_transform(rows)
    return plane[: len(true)], plane[len(true) :]


def pair_distances(true: Float[np.ndarray, "n 2"], decoded: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
    """Euclidean distance of each decoded place from its true one."""
    return np.linalg.norm(true - decoded, axis=1)

"""Ridge regression from voxels to CLIP tokens in closed form: what a linear map reaches without any training."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.progress import track

FOLDS = 5
PENALTY_TARGETS = 1024
"""Target columns, drawn without replacement, on which the penalty is chosen."""
PENALTIES = tuple(10.0 ** (power / 2) for power in range(-8, 9))
"""Candidates, in units of the kernel's mean eigenvalue."""
BLOCK = 4096
"""Target columns predicted at once: 9000 images of them are 150 MB in float32."""


def linear_ridge(
    voxels: Float[np.ndarray, "trials voxels"],
    image: Int64[np.ndarray, " trials"],
    group: Int64[np.ndarray, " trials"],
    tokens: Float[np.ndarray, "images *embedding"],
    test_voxels: Float[np.ndarray, "test voxels"],
    rows: list[list[int]],
    *,
    generator: np.random.Generator,
) -> Float[Tensor, "items *embedding"]:
    """min_w |X w - Y|² + a |w|² on single trials; predictions of the test trials, averaged over each item's ``rows``.

    Ridge shrinks towards the mean, and a cosine that is not centred then finds little but the mean. So each
    prediction's deviation from the mean is given the length (root mean square) that the training targets' have;
    Ozcelik & VanRullen (2023) match standard deviations for the same reason.

    ``image`` names the row of ``tokens`` (may be memory-mapped) that a training trial shows. Voxels and targets
    are centred by their means over the training trials. One penalty a serves all targets: the one with the least
    squared error in cross-validation over the training trials, on a random subset of the target columns. Trials of a
    ``group`` are never on both sides: it is what the test trials are new in, their images or their sessions.
    UserError where there is only one.

    The solution is used in its dual form, in which the predictions are fixed weights over the training images,
    whatever the target: beside the kernel (trials x trials) and its decomposition, only blocks of target columns
    are in memory. The 27 000 trials of 40 sessions have a kernel of 2.9 GB, of which a few copies are needed.
    """
    # himalaya and scikit-learn take more than a second, which most evaluations have no use for.
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import solve_kernel_ridge_eigenvalues

    device = "cuda" if torch.cuda.is_available() else "cpu"
    set_backend("torch_cuda" if device == "cuda" else "torch")
    images, place = np.unique(image, return_inverse=True)
    flat = tokens.reshape(len(tokens), -1)

    train = torch.from_numpy(voxels.astype(np.float32)).to(device)
    mean = train.mean(dim=0)
    train = train - mean
    test = torch.from_numpy(test_voxels.astype(np.float32)).to(device) - mean
    items = torch.stack([test[group].mean(dim=0) for group in rows])
    kernel = train @ train.T

    columns = np.sort(generator.permutation(flat.shape[1])[:PENALTY_TARGETS])
    some = torch.from_numpy(flat[np.ix_(images, columns)].astype(np.float32))[place]
    penalty = _penalty(kernel, some.to(device), _folds(group, generator))

    # The prediction k'(K + aI)⁻¹Y of an item with kernel row k has the weights (K + aI)⁻¹k over the trials.
    weights = solve_kernel_ridge_eigenvalues(kernel, train @ items.T, alpha=penalty).T.cpu()
    per_image = torch.zeros(len(rows), len(images)).index_add_(1, torch.from_numpy(place), weights)
    share = torch.from_numpy(np.bincount(place)).float() / len(image)

    center, deviation, squares = torch.empty(flat.shape[1]), torch.empty(len(rows), flat.shape[1]), 0.0
    blocks = [slice(first, first + BLOCK) for first in range(0, flat.shape[1], BLOCK)]
    for inside in track(blocks, "evaluate, linear ridge", len(blocks)):
        targets = torch.from_numpy(flat[images, inside].astype(np.float32))
        center[inside] = share @ targets
        targets -= center[inside]
        deviation[:, inside] = per_image @ targets
        squares += (share @ targets.square()).sum().item()
    length = deviation.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    return (center + deviation * (squares**0.5 / length)).unflatten(1, tokens.shape[1:])


def _folds(group: Int64[np.ndarray, " trials"], generator: np.random.Generator) -> Int64[np.ndarray, " trials"]:
    """Fold of each trial; all trials of a group are in one."""
    groups, place = np.unique(group, return_inverse=True)
    if len(groups) < 2:
        raise UserError(
            "evaluate.baselines: linear_ridge leaves out images or sessions to choose its penalty, and the training "
            "has only one; remove it, or add sessions"
        )
    return (generator.permutation(len(groups)) % FOLDS)[place]


def _penalty(
    kernel: Float[Tensor, "trials trials"], targets: Float[Tensor, "trials some"], fold: Int64[np.ndarray, " trials"]
) -> float:
    """The candidate with the least squared error over all of ``targets``, each fold left out in turn."""
    from himalaya.kernel_ridge import solve_kernel_ridge_cv_eigenvalues
    from sklearn.model_selection import PredefinedSplit

    unit = kernel.diagonal().mean().item()
    candidates = torch.tensor([unit * penalty for penalty in PENALTIES], device=kernel.device)
    # One candidate at a time: all at once would be as many matrices of the kernel's size.
    best, *_ = solve_kernel_ridge_cv_eigenvalues(
        kernel,
        targets,
        alphas=candidates,
        cv=PredefinedSplit(fold),
        fit_intercept=True,
        local_alpha=False,
        n_alphas_batch=1,
    )
    return best[0].item()

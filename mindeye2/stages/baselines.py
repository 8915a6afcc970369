"""What a linear map decodes from the trials of a cell."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mindeye2.data.batches import read_rows
from mindeye2.job import Job
from mindeye2.metrics.linear_ridge import linear_ridge
from mindeye2.model.repeats import repeat_rows
from mindeye2.seeds import numpy_generator
from mindeye2.stages.trials import decoded_trials, training_trials


def ridge_embeddings(job: Job, tokens: np.ndarray) -> Float[Tensor, "n tokens clip_dim"]:
    """Tokens of the test items, in the order of the folds, from ``config.folds``.

    Trained on the same trials as the cell's own decoder: those of each fold's ``train`` sessions. ``test`` is
    None for the shared images.
    """
    folds: Sequence[Mapping[str, Any]] = job.config["folds"]
    behav, betas = job.input("behav"), job.input("betas") / "betas.h5"
    predicted = []
    for number, fold in enumerate(folds):
        train, test = training_trials(behav, fold["train"]), decoded_trials(behav, fold["test"])
        predicted.append(
            linear_ridge(
                read_rows(betas, train.row),
                train.image,
                train.image if fold["test"] is None else train.session,
                tokens,
                read_rows(betas, test.row),
                repeat_rows(test.image)[1],
                generator=numpy_generator(job.config["seed"], "evaluate", "linear_ridge", number),
            )
        )
    return torch.cat(predicted)

"""Retrieval in both directions among random subsets of the test images."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mindeye2.metrics.arrays import Array, tensor

BRAIN_CHUNK, IMAGE_CHUNK = 512, 64
"""Rows flattened and normalised at once: 512 bigG embeddings are 0.9 GB in float32. Images are read once per chunk."""


@dataclass(frozen=True)
class Retrieval:
    """Top-1 accuracies, means over the repetitions.

    ``brain_to_image``: given a brain embedding, its image found; the paper's column "Brain".
    ``image_to_brain``: given an image embedding, its brain embedding found; the paper's column "Image".
    The original names them the other way round. The hits have one row per repetition, columns as drawn: ``draws``
    holds the images' indices.
    """

    brain_to_image: float
    image_to_brain: float
    draws: Int[Tensor, "repetitions pool"]
    brain_to_image_hits: Bool[Tensor, "repetitions pool"]
    image_to_brain_hits: Bool[Tensor, "repetitions pool"]


def retrieval(
    brain: Float[Array, "n *embedding"],
    image: Float[Array, "n *embedding"],
    *,
    pool: int = 300,
    repetitions: int = 30,
    generator: np.random.Generator | None = None,
    draws: Int[Array, "repetitions pool"] | None = None,
) -> Retrieval:
    """Cosine between flattened embeddings, top-1 among ``pool`` images drawn without replacement, many times.

    brain, image: row i of both belongs to test image i; memory-mapped arrays are read in chunks.
    pool: at most n is drawn; all n images need one repetition only, since every draw is then the same set.
    draws: indices to use instead of drawing them with ``generator``; one of the two is needed.
    """
    number = len(brain)
    if draws is None:
        pool, repetitions = (pool, repetitions) if pool < number else (number, 1)
        draws = np.stack([generator.permutation(number)[:pool] for _ in range(repetitions)])
    draws = tensor(draws)
    cosine = similarity(brain, image)
    drawn = cosine[draws[:, :, None], draws[:, None, :]]
    own = torch.arange(draws.shape[1])
    forward, backward = drawn.argmax(dim=2) == own, drawn.argmax(dim=1) == own
    return Retrieval(forward.double().mean().item(), backward.double().mean().item(), draws, forward, backward)


def similarity(brain: Float[Array, "n *embedding"], image: Float[Array, "m *embedding"]) -> Float[Tensor, "n m"]:
    """Cosine of every brain embedding with every image embedding, flattened."""
    return torch.cat(
        [
            torch.cat([rows @ columns.T for columns in _unit_chunks(image, IMAGE_CHUNK)], dim=1)
            for rows in _unit_chunks(brain, BRAIN_CHUNK)
        ]
    )


def _unit_chunks(embeddings: Array, size: int):
    for start in range(0, len(embeddings), size):
        rows = embeddings[start : start + size]
        rows = rows.float() if isinstance(rows, Tensor) else torch.from_numpy(rows.astype(np.float32))
        yield torch.nn.functional.normalize(rows.flatten(1), dim=1)

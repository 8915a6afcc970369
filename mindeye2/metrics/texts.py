"""All metrics of captions as functions of two lists of texts, of which text i is compared with text i."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.frozen.clip import Clip
from mindeye2.metrics.arrays import Array
from mindeye2.metrics.caption import load_words, meteor, rouge_1, rouge_l
from mindeye2.metrics.features import load_clip
from mindeye2.metrics.similarity import cosine_rows

Compare = Callable[[list[str], list[str]], Float[Array, "n"]]
"""One value per pair of texts, predicted ones first."""

Embed = Callable[[list[str]], Float[Tensor, "n embed"]]
"""Texts to embeddings, on the CPU."""

NETWORKS = {"meteor": "nltk", "sentence": "sentence", "clip_b": "openai_clip_b"}
"""Metric -> what it reads of the weights folder."""


def caption_metrics(
    places: Mapping[str, Path], *, clip: Clip | None, clip_metric: str, device: torch.device, batch_size: int
) -> dict[str, Compare | None]:
    """Metric -> function, in the order of the published table; None where its network is not in ``places``.

    clip: the network behind ``clip_metric``, which is None if it cannot read texts.
    """

    def at(metric: str, load: Callable[[Path], Compare]) -> Compare | None:
        place = places.get(NETWORKS[metric])
        return None if place is None else load(place)

    return {
        "meteor": at("meteor", lambda place: _each(partial(meteor, words=load_words(place)))),
        "rouge_l": _each(rouge_l),
        "rouge_1": _each(rouge_1),
        "sentence": at("sentence", lambda place: _cosine(load_sentences(place, device=device, batch_size=batch_size))),
        "clip_b": at(
            "clip_b",
            lambda place: _cosine(clip_texts(load_clip(place, NETWORKS["clip_b"]).to(device), batch_size=batch_size)),
        ),
        clip_metric: _cosine(clip_texts(clip, batch_size=batch_size)) if clip is not None and clip.has_text else None,
    }


def load_sentences(place: str | Path, *, device: torch.device, batch_size: int) -> Embed:
    """The sentence-transformers model of a folder (the paper's is all-MiniLM-L6-v2), as a function of texts.

    UserError where the folder does not hold one.
    """
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(str(place), device=str(device), local_files_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{place}: holds no sentence-transformers model ({reason}); fetch the folder again") from None

    def embed(texts: list[str]) -> Tensor:
        vectors = model.encode(texts, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False)
        return vectors.float().cpu()

    return embed


def clip_texts(clip: Clip, *, batch_size: int) -> Embed:
    """CLIP's text embeddings as a function of texts."""

    def embed(texts: list[str]) -> Tensor:
        starts = range(0, len(texts), batch_size)
        return torch.cat([clip.embed_texts(texts[start : start + batch_size]).float().cpu() for start in starts])

    return embed


def text_similarity(predicted: list[str], truth: list[str], *, embed: Embed) -> Float[Tensor, "n"]:
    """Cosine of the embeddings of text i and text i."""
    return cosine_rows(embed(predicted), embed(truth))


def _each(compare: Callable[[str, str], float]) -> Compare:
    return lambda predicted, truth: np.array([compare(*pair) for pair in zip(predicted, truth, strict=True)])


def _cosine(embed: Embed) -> Compare:
    return partial(text_similarity, embed=embed)

"""Scores of decoded pictures, embeddings and captions: arrays in, named numbers out.

Public names are looked up on first use, so that importing one metric does not load the libraries of all.
"""

from importlib import import_module

_HOMES = {
    "bootstrap_interval": "intervals",
    "bootstrap_ratio_interval": "intervals",
    "brain_correlation": "brain",
    "caption_metrics": "texts",
    "class_identification": "identification",
    "clip_features": "features",
    "clip_texts": "texts",
    "correlation_distance": "identification",
    "cosine_similarity": "similarity",
    "layer_features": "features",
    "load_clip": "features",
    "load_judge": "features",
    "load_sentences": "texts",
    "load_words": "caption",
    "mean_per_group": "brain",
    "meteor": "caption",
    "normal_interval": "intervals",
    "pair_distances": "plane",
    "pearson_matrix": "similarity",
    "pixel_correlation": "pixel",
    "resize": "resizing",
    "retrieval": "top1",
    "rouge_1": "caption",
    "rouge_l": "caption",
    "ssim": "pixel",
    "text_similarity": "texts",
    "two_way_identification": "identification",
    "umap_plane": "plane",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

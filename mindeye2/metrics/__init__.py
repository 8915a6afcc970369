"""Scores of decoded pictures, embeddings and captions: arrays in, named numbers out.

Public names are looked up on first use, so that importing one metric does not load the libraries of all.
"""

from importlib import import_module

_HOMES = {
    "bootstrap_interval": "intervals",
    "brain_correlation": "brain",
    "class_identification": "identification",
    "correlation_distance": "identification",
    "cosine_similarity": "similarity",
    "mean_per_group": "brain",
    "normal_interval": "intervals",
    "pearson_matrix": "similarity",
    "pixel_correlation": "pixel",
    "resize": "resizing",
    "retrieval": "top1",
    "rouge_1": "caption",
    "rouge_l": "caption",
    "ssim": "pixel",
    "two_way_identification": "identification",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

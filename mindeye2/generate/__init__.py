"""From tokens to pictures: unCLIP decoding, refinement by image-to-image diffusion, the low-level blend.

Public names are looked up on first use, so that stages, which import modules, depend on no more than those.
"""

from importlib import import_module

_HOMES = {"unclip_latents": "unclip"}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

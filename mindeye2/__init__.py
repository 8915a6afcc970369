"""Images decoded from fMRI: MindEye2 as cached, content-addressed stages.

``mindeye2.load(path)`` opens a trained model or a released checkpoint, ``mindeye2.metrics`` holds the metrics
as pure functions. Both are imported when first asked for.
"""

from importlib import import_module

LAZY = {"load": ("mindeye2.model.opening", "load"), "metrics": ("mindeye2.metrics", "")}


def __getattr__(name):
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attributes = LAZY[name]
    value = import_module(module)
    for attribute in filter(None, attributes.split(".")):
        value = getattr(value, attribute)
    return value


def __dir__():
    return sorted({*globals(), *LAZY})

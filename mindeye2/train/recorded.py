"""A computation recorded once as a CUDA graph and replayed, where launching small kernels one by one takes longest."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
WARM_UPS = 3


def recorded(
    compute: Callable[..., Result],
    inputs: Mapping[str, Tensor],
    *,
    parameters: Sequence[Tensor],
    generator: torch.Generator | None = None,
) -> Callable[..., Result]:
    """``compute`` for many calls with inputs of the same names and shapes; results lie in the same tensors every time.

    It is run a few times first, on a stream of its own, as torch asks. ``parameters`` are those whose gradients it
    leaves; they are dropped in between, so that only the recording's take memory. ``generator`` is what it draws
    from, if it does. It may not wait for the device.
    """
    kept = {name: value.clone() for name, value in inputs.items()}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            compute(**kept)
    torch.cuda.current_stream().wait_stream(side)
    for parameter in parameters:
        parameter.grad = None
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        result = compute(**kept)

    def replay(**inputs: Tensor) -> Result:
        for name, value in inputs.items():
            kept[name].copy_(value)
        graph.replay()
        return result

    return replay

"""What is said when a GPU's memory is too small."""

import pytest
import torch

from mindeye2.errors import UserError
from mindeye2.memory import enough_memory


def test_the_last_resort_against_too_little_memory_is_another_gpu():
    said = pytest.raises(UserError, match=r"reconstruct\.batch_size: 1 .* use a GPU with more")
    with said, enough_memory("reconstruct", 1):
        raise torch.OutOfMemoryError("full")
    with pytest.raises(RuntimeError, match="something else"), enough_memory("reconstruct", 1):
        raise RuntimeError("something else")

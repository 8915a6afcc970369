"""A training whose step is a CUDA graph is the training that launches its kernels one by one."""

import pytest
import torch
from accelerate import Accelerator
from toy_training import same_weights, weights
from toy_unclip import Dying, Killed, toy_unclip

from mindeye2.train.recorded import recorded
from mindeye2.train.unclip import UnclipTrainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Unrecorded(UnclipTrainer):
    records = False


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bfloat16", "null_share": 0.2, "exact_share": 0.3, "most_noise": 0.8},
        {"precision": "float16", "average": 0.0},
        {"precision": "float32", "grad_clip": 0.0},
        {"precision": "bfloat16", "recompute": True},
    ],
)
def test_replayed_steps_give_the_same_weights_also_after_a_kill(tmp_path, settings):
    given = {"accelerator": Accelerator(), **settings}
    whole, unrecorded = (
        toy_unclip(tmp_path / kind.__name__, kind=kind, **given) for kind in (UnclipTrainer, Unrecorded)
    )
    rows = [trainer.fit() for trainer in (whole, unrecorded)]
    assert same_weights(weights(whole), weights(unrecorded))
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]]
    dying = toy_unclip(tmp_path / "killed", kind=Dying, checkpoint_minutes=1e-9, **given)
    with pytest.raises(Killed):
        dying.fit()
    resumed = toy_unclip(tmp_path / "killed", **given)
    resumed.fit()
    assert same_weights(weights(resumed), weights(whole))


def test_new_inputs_are_what_is_computed_with():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0], device="cuda"))

    def compute(*, x):
        weight.grad = None
        loss = (weight * x).sum()
        loss.backward()
        return loss.detach()

    def ones(value):
        return torch.full((2,), value, device="cuda")

    replay = recorded(compute, {"x": ones(1.0)}, parameters=[weight])
    for value in (3.0, 5.0):
        assert replay(x=ones(value)).item() == 3 * value
        assert torch.equal(weight.grad, ones(value))
    with torch.no_grad():
        weight += 1
    assert replay(x=ones(2.0)).item() == 10.0

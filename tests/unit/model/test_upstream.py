import pytest
import torch
from tiny_decoder import normal, tiny

from mindeye2.errors import UserError
from mindeye2.model.upstream import from_released, our_name, released_name, released_sizes, to_released

SCHEDULE = "diffusion_prior.noise_scheduler.alphas_cumprod"
FREQUENCIES = "diffusion_prior.net.causal_transformer.layers.0.0.rotary_emb.freqs"


@pytest.fixture
def model():
    return tiny(backbone="legacy_mixer", lowlevel_latents=(4, 8, 8)).eval()


@pytest.fixture
def state(model):
    return to_released(model)


def test_names_are_a_bijection(model):
    names = list(model.state_dict())
    released = [released_name(name) for name in names]
    assert len(set(released)) == len(names)
    assert [our_name(name) for name in released] == names


def test_names_that_only_one_side_has():
    assert our_name("backbone.voxel_shift") is None
    assert our_name("backbone.blin1.weight.more") is None
    assert released_name("backbone.blocks.0.fc1.weight") is None


def test_sizes_are_read_from_shapes(model, state):
    sizes = released_sizes(state)
    expected = {name: model.sizes[name] for name in sizes}
    assert sizes == expected
    assert model.sizes.keys() - sizes.keys() == {"subjects", "dropout", "lowlevel_dropout", "lowlevel_groups"}


def test_round_trip(model, state):
    loaded = from_released(state, lowlevel_groups=4)
    assert loaded.metadata["pixel_range"] == "legacy01"
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())
    assert torch.equal(loaded.encode(normal(2, 11)).lowlevel, model.encode(normal(2, 11)).lowlevel)


def test_without_optional_parts():
    model = tiny(backbone="legacy_mixer", retrieval=False, lowlevel_latents=None)
    loaded = from_released(to_released(model))
    assert loaded.retrieval is loaded.lowlevel is None


def test_tables_rounded_to_half_precision_and_absent_frequencies_are_taken(state):
    state = {n: v.half().float() if "noise_scheduler" in n else v for n, v in state.items() if n != FREQUENCIES}
    from_released(state, lowlevel_groups=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(extra=torch.ones(1)), "unknown tensor extra"),
        (lambda s: s.pop("backbone.bnorm.bias"), r"lacks the tensor lowlevel\.norm\.bias"),
        (lambda s: s.pop("backbone.backbone_linear.weight"), r"lacks the tensor backbone\.backbone_linear\.weight"),
        (lambda s: s.pop("backbone.mixer_blocks1.0.0.bias"), r"lacks the tensor backbone\.width\.0\.norm\.bias"),
        (lambda s: s.pop(SCHEDULE), f"lacks the tensor {SCHEDULE}"),
        (lambda s: s.update({SCHEDULE: s[SCHEDULE] * 0.99}), f"{SCHEDULE} is not the cosine schedule's"),
        (lambda s: s.update({FREQUENCIES: s[FREQUENCIES][:3]}), "rotary_emb.freqs is not"),
        (lambda s: s.update({"backbone.bnorm.bias": torch.ones(3)}), r"norm\.bias has shape \(3,\)"),
    ],
)
def test_strict(state, change, message):
    change(state)
    with pytest.raises(UserError, match=message):
        from_released(state, lowlevel_groups=4)


def test_other_backbones_do_not_fit_a_released_file():
    with pytest.raises(UserError, match="backbone=residual_mlp: released files hold legacy_mixer only"):
        to_released(tiny())

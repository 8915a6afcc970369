import pytest
import torch
from tiny_decoder import normal, tiny

from mindeye2.errors import UserError
from mindeye2.model.diffusion import cosine_schedule
from mindeye2.model.released_names import released_name
from mindeye2.model.upstream import from_released, released_sizes, to_released

SCHEDULE = "diffusion_prior.noise_scheduler.alphas_cumprod"
FREQUENCIES = "diffusion_prior.net.causal_transformer.layers.0.0.rotary_emb.freqs"


@pytest.fixture
def model():
    return tiny(backbone="legacy_mixer", lowlevel_latents=(4, 8, 8)).eval()


@pytest.fixture
def state(model):
    return to_released(model)


def test_names_are_distinct_and_those_of_released_files_alone(model):
    names = list(model.state_dict())
    assert len({released_name(name) for name in names} - {None}) == len(names)
    assert released_name("backbone.blocks.0.fc1.weight") is None
    assert released_name("lowlevel.norm.weight.more") is None


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


def test_what_does_not_follow_from_the_sizes_comes_back_to_the_last_bit(state):
    """Tables of a half-precision engine, absent frequencies, another order of the entries."""
    state = {n: v.half().float() if "noise_scheduler" in n else v for n, v in state.items() if n != FREQUENCIES}
    state = dict(sorted(state.items()))
    back = to_released(from_released(state, lowlevel_groups=4))
    assert list(back) == list(state)
    assert all(torch.equal(back[name], value) for name, value in state.items())
    assert not torch.equal(back[SCHEDULE], cosine_schedule(12)["alphas_cumprod"])


def test_float32_tensors_are_taken_as_they_are(state):
    loaded = from_released(state, lowlevel_groups=4)
    assert loaded.token_head.weight.data_ptr() == state["backbone.backbone_linear.weight"].data_ptr()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(extra=torch.ones(1)), "last.pth: has the unknown tensor extra; it is of another"),
        (
            lambda s: [s.pop(f"backbone.clip_proj.{i}.bias") for i in (0, 2, 3, 5)] + [s.update(a=torch.ones(1))],
            r"lacks 4 tensors: backbone\.clip_proj\.0\.bias, .*, .*3\.bias and 1 more; has the unknown tensor a;",
        ),
        (lambda s: s.pop("backbone.blin1.bias"), r"lacks the tensor backbone\.blin1\.bias, so it is no released"),
        (lambda s: s.pop("backbone.bnorm.bias"), r"lacks the tensor backbone\.bnorm\.bias; it is of another"),
        (lambda s: s.pop("backbone.backbone_linear.weight"), r"lacks the tensor backbone\.backbone_linear\.weight"),
        (lambda s: s.pop("backbone.mixer_blocks1.0.0.bias"), r"lacks the tensor backbone\.mixer_blocks1\.0\.0\.bias"),
        (lambda s: s.pop("ridge.linears.0.weight"), r"lacks the tensor ridge\.linears\.0\.weight"),
        (lambda s: s.pop(SCHEDULE), f"lacks the tensor {SCHEDULE}"),
        (lambda s: s.update({SCHEDULE: s[SCHEDULE] * 0.99}), f"{SCHEDULE} holds other numbers than the cosine"),
        (lambda s: s.update({FREQUENCIES: s[FREQUENCIES][:3]}), "freqs holds other numbers than those of rotary"),
        (
            lambda s: s.update({"backbone.bnorm.bias": torch.ones(3)}),
            r"backbone\.bnorm\.bias has shape \(3,\) where its others ask for \(8,\)",
        ),
        (
            lambda s: s.update({"backbone.bnorm.weight": torch.ones(2, 2)}),
            r"bnorm\.weight has shape \(2, 2\), as in no",
        ),
        (
            lambda s: s.update({"backbone.bnorm.bias": torch.ones(8).long()}),
            r"backbone\.bnorm\.bias holds torch\.int64",
        ),
        (
            lambda s: s.update({"backbone.bnorm.bias": torch.tensor([0.0] * 7 + [float("nan")])}),
            r"backbone\.bnorm\.bias has values that are not finite",
        ),
        (
            lambda s: s.update({"ridge.linears.0.weight": s["ridge.linears.0.weight"] / 0}),
            r"ridge\.linears\.0\.weight has values that are not finite",
        ),
    ],
)
def test_strict(state, change, message):
    change(state)
    with pytest.raises(UserError, match=message) as caught:
        from_released(state, lowlevel_groups=4, origin="last.pth")
    assert str(caught.value).startswith("last.pth: ")
    assert "\n" not in str(caught.value)


def test_a_decoder_whose_groups_are_not_the_released_ones(state):
    with pytest.raises(UserError, match=r"widths \[4, 8, 16\], no multiples of the 32 groups of its norms"):
        from_released(state)


def test_other_backbones_do_not_fit_a_released_file():
    with pytest.raises(UserError, match="backbone=residual_mlp: released files hold legacy_mixer only"):
        to_released(tiny())

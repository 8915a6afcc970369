"""Whole models, their names and sizes, and the handling of repeats against the original's (gold a, h)."""

import numpy as np
import pytest
import torch
from gold_models import LAYOUTS, STEMS, arrays, assert_close, gold_model, numbers, released_state

from mindeye2.metrics.brain import mean_per_group
from mindeye2.model.mindeye import MindEye
from mindeye2.model.repeats import repeat_rows
from mindeye2.model.upstream import from_released, to_released

FULL = {
    "hidden_dim": 4096,
    "tokens": 256,
    "clip_dim": 1664,
    "backbone": "legacy_mixer",
    "lowlevel_latents": (4, 28, 28),
}
NSD_VOXELS = [15724, 14278, 15226, 13153, 13039, 17907, 12682, 14386]


@pytest.mark.parametrize("name", STEMS)
def test_outputs(name):
    model, gold, case = gold_model(name), arrays(f"{STEMS[name]}_io"), f"{STEMS[name]}"
    voxels = [(subject, gold[f"voxels_{subject}"][:, 0]) for subject in range(len(LAYOUTS["models"][name]["voxels"]))]
    with torch.no_grad():
        ridge = torch.cat([model.ridge(part, subject) for subject, part in voxels])
        out = model(voxels)
        assert_close(ridge, gold["ridge"], case, "ridge")
        assert_close(model.backbone(ridge), gold["output_linear_input"], case, "output_linear_input")
    assert_close(out.tokens, gold["backbone_tokens"], case, "backbone_tokens")
    assert_close(out.retrieval, gold["retrieval_tokens"], case, "retrieval_tokens")
    if LAYOUTS["models"][name]["low_level"]:
        assert_close(out.lowlevel, gold["lowlevel_latents"], case, "lowlevel_latents")
        assert_close(out.lowlevel_features, gold["lowlevel_features"], case, "lowlevel_features")
    else:
        assert out.lowlevel is None
        assert out.lowlevel_features is None


@pytest.mark.parametrize("name", STEMS)
def test_legacy_backbone_adds_one_scalar_whatever_its_width_mixers_hold(name):
    model = gold_model(name)
    x = torch.randn(3, model.sizes["hidden_dim"], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model.backbone(x)
        kappa = torch.full_like(x, LAYOUTS["models"][name]["kappa_sum_float64"])
        torch.testing.assert_close(before - x, kappa, atol=1e-5, rtol=0)
        for parameter in model.backbone.parameters():
            if not parameter.requires_grad:
                parameter.add_(1.0)
        assert torch.equal(model.backbone(x), before)


@pytest.mark.parametrize("name", STEMS)
def test_released_file_goes_in_and_out_unchanged(name):
    state, layout = released_state(name), LAYOUTS["models"][name]
    model = gold_model(name)
    back = to_released(model)
    assert back.keys() == state.keys() == set(layout["key_order"])
    assert not model.metadata["released"]["constants"], "ours are the original's to the last bit"
    for key, value in state.items():
        assert torch.equal(back[key], value.float()), key

    counts = {}
    for key, parameter in model.named_parameters():
        part = key.split(".")[0]
        part = {"ridge": "ridge", "prior": "diffusion_prior"}.get(part, "backbone")
        counts[part] = counts.get(part, 0) + parameter.numel()
    counts["diffusion_prior"] += 16  # the original counts its frozen rotary frequencies
    assert counts == layout["parameters"]


@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        ("single_subject1_h4096_lowlevel", {"voxels": NSD_VOXELS[:1]}),
        (
            "single_subject1_h1024_nolowlevel",
            {"voxels": NSD_VOXELS[:1], "hidden_dim": 1024, "lowlevel_latents": None},
        ),
        ("pretrain_without_subject1_h4096_lowlevel", {"voxels": NSD_VOXELS[1:]}),
    ],
)
def test_full_size_has_the_released_names_shapes_and_counts(case, sizes):
    gold = LAYOUTS["full_size"][case]
    with torch.device("meta"):
        model = MindEye(**{**FULL, **sizes})
        released = to_released(model)
        back = from_released(released)
    shapes = {name: list(value.shape) for name, value in released.items()}
    assert len(shapes) == gold["entries"]
    assert count(model) == gold["parameters"]
    if "shapes" in gold:
        assert shapes == gold["shapes"]
    assert back.sizes == model.sizes
    assert {value.device.type for value in back.state_dict().values()} == {"meta"}


TOTALS = {
    1: (2_227_294_844, 2_575_262_332),
    2: (2_221_372_028, 2_581_185_148),
    3: (2_225_255_036, 2_577_302_140),
    4: (2_216_764_028, 2_585_793_148),
    5: (2_216_297_084, 2_586_260_092),
    6: (2_236_236_412, 2_566_320_764),
    7: (2_214_834_812, 2_587_722_364),
    8: (2_221_814_396, 2_580_742_780),
}
"""Parameters of each subject's model and of the pretraining without it, h=4096 with low-level branch (§8.3)."""


def test_parameter_totals_of_every_released_size():
    with torch.device("meta"):
        one = MindEye(**FULL, voxels=NSD_VOXELS[:1])
        counts = {part: sum(p.numel() for p in module.parameters()) for part, module in one.named_children()}
        plain = MindEye(**{**FULL, "lowlevel_latents": None}, voxels=NSD_VOXELS[:1])
    assert counts == {
        "ridge": 64_409_600,
        "backbone": 134_283_264 + 24,
        "token_head": 1_745_256_448,
        "retrieval": 8_321_664,
        "lowlevel": 12_848_192 + 2_310_436,
        "prior": 259_865_216 - 16,
    }
    assert count(plain) == 2_212_136_216

    shared = count(one) - counts["ridge"]
    ridges = [4096 * (voxels + 1) for voxels in NSD_VOXELS]
    totals = {k: (shared + ridge, shared + sum(ridges) - ridge) for k, ridge in enumerate(ridges, start=1)}
    assert totals == TOTALS


def count(model):
    """Parameters as the original counts them: with the 16 frozen rotary frequencies."""
    return sum(parameter.numel() for parameter in model.parameters()) + 16


def test_start_from_takes_all_but_the_ridges(tmp_path):
    """The original let the first pretraining subject's ridge bias through (and only reported the rest)."""
    gold = numbers("a3_finetune_load")
    pretrained = gold_model("a3")
    pretrained.save(tmp_path)
    model = MindEye(**{**pretrained.sizes, "voxels": [gold["new_subject_voxels"]]})
    own = {name: value.clone() for name, value in model.ridge.state_dict().items()}

    taken = model.start_from(tmp_path)

    state = model.state_dict()
    assert sorted(state.keys() - set(taken)) == sorted(gold["intended_missing"])
    assert all(torch.equal(model.ridge.state_dict()[name], value) for name, value in own.items())
    assert all(torch.equal(state[name], pretrained.state_dict()[name]) for name in taken)


def test_legacy_repeats():
    rows_of = numbers("h_repeats")
    gold, model = arrays("h_repeats"), gold_model("a1")
    images, rows = repeat_rows(gold["trial_image_ids"].numpy(), legacy=True)
    assert images.tolist() == rows_of["image_order"]
    assert rows == [rows_of["inference_rows_per_image"][str(image)] for image in images]

    with torch.no_grad():
        out = model.encode_repeats(gold["trial_voxels"], rows)
    assert_close(out.tokens, gold["backbone_tokens"], "h_repeats", "backbone_tokens")
    assert_close(out.retrieval, gold["retrieval_tokens"], "h_repeats", "retrieval_tokens")
    assert_close(out.lowlevel, gold["lowlevel_latents"], "h_repeats", "lowlevel_latents")


def test_legacy_repeats_of_the_measured_betas():
    gold = arrays("h_repeats")
    averaged = mean_per_group(gold["trial_voxels"], gold["trial_image_ids"], legacy=True)
    assert_close(averaged, gold["evaluation_voxels_averaged"], "h_repeats", "evaluation_voxels_averaged")
    equal = mean_per_group(gold["trial_voxels"], gold["trial_image_ids"])
    _, trials = torch.unique(gold["trial_image_ids"], return_counts=True)
    differs = (equal - averaged).abs().amax(dim=1) > 0.05
    assert torch.equal(differs, trials == 2)


def test_default_repeats_weigh_every_trial_once():
    gold, model = arrays("h_repeats"), gold_model("a1")
    images, rows = repeat_rows(gold["trial_image_ids"].numpy())
    assert sorted(row for group in rows for row in group) == list(range(len(gold["trial_image_ids"])))
    with torch.no_grad():
        each = model.encode(gold["trial_voxels"])
        out = model.encode_repeats(gold["trial_voxels"], rows)
    for index, image in enumerate(images):
        group = np.flatnonzero(gold["trial_image_ids"].numpy() == image)
        torch.testing.assert_close(out.tokens[index], each.tokens[group].mean(dim=0), atol=2e-6, rtol=0)
        torch.testing.assert_close(out.retrieval[index], each.retrieval[group].mean(dim=0), atol=2e-6, rtol=0)

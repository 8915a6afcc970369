"""The shipped tiny networks are what their manifest says, small and good; their training runs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip import SimpleTokenizer

from mindeye2.demo.networks import captioner, captioner_tuning, clip, convnext, sdxl, unclip, vae
from mindeye2.demo.networks.__main__ import TRAINERS
from mindeye2.demo.networks.fit import Recipe, Run, fit, learning_rate
from mindeye2.demo.networks.manifest import FILE, digest, weight_files
from mindeye2.demo.networks.quality import WEIGHTS, measure, named_right
from mindeye2.demo.networks.scenes import Scenes, draw, vocabulary
from mindeye2.demo.networks.text import merges, vocab_size, word_tokenizer, write_merges
from mindeye2.frozen.tokenizer import END, clip_tokenizer
from mindeye2.generate.refine import NEGATIVE_PROMPT
from mindeye2.settings import Unclip

LARGEST_BYTES = 20 * 2**20
MODULES = (vae, clip, convnext, unclip, sdxl, captioner, captioner_tuning)


@pytest.fixture(scope="module")
def manifest():
    return json.loads((WEIGHTS / FILE).read_text())


def test_weights_are_the_files_of_the_manifest(manifest):
    found = {path.relative_to(WEIGHTS).as_posix(): digest(path) for path in weight_files(WEIGHTS)}
    assert found == {name: entry["sha256"] for name, entry in manifest["files"].items()}


def test_weights_are_small(manifest):
    size = sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file())
    assert size <= LARGEST_BYTES
    assert manifest["bytes"] < size


def test_manifest_tells_how_each_network_was_made(manifest):
    assert set(manifest["training"]) == set(TRAINERS)
    for name, note in manifest["training"].items():
        assert note["command"].endswith(f"--only {name}")
        assert {"seed", "device", "versions", "outcome"} <= set(note)
    assert "/" not in json.dumps(manifest["training"])


def test_manifest_reaches_the_promised_quality(manifest):
    quality = manifest["quality"]
    assert quality["count"] == 100
    assert quality["true_both"] >= 0.97
    assert quality["decoded_pixcorr"] >= 0.8
    assert quality["decoded_both"] >= 0.9
    assert quality["captions_both"] >= 0.9
    assert quality["refined_both"] >= 0.9


def test_chain_from_true_tokens():
    quality = measure(WEIGHTS, 8)
    assert quality["true_both"] == 1
    assert quality["vae_pixcorr"] > 0.98
    assert quality["decoded_pixcorr"] > 0.9
    assert quality["decoded_both"] >= 7 / 8
    assert quality["captions_both"] >= 7 / 8
    assert quality["refined_pixcorr"] > 0.8
    assert quality["refined_both"] >= 7 / 8


def test_captions_are_judged_by_the_main_thing():
    scenes = draw(0, "quality", 4)
    right = [lines[1] for lines in scenes.captions]
    assert named_right(right, scenes).all()
    beside = ["a tiny brown thing with " + line for line in right]
    assert not named_right(beside, scenes).any()


def test_scenes_do_not_depend_on_the_workers():
    alone, together = draw(3, "train", 600), draw(3, "train", 600, workers=2)
    assert np.array_equal(alone.pictures, together.pictures)
    assert alone.captions == together.captions
    assert not np.array_equal(alone.pictures[:8], draw(3, "quality", 8).pictures)


def test_every_word_is_one_token(tmp_path):
    words = vocabulary()
    spoken = {word for lines in draw(0, "train", 300).captions for line in lines for word in line.split()}
    assert spoken <= set(words)
    found = merges(words)
    write_merges(found, tmp_path / "bpe.txt.gz")
    stock = SimpleTokenizer(str(tmp_path / "bpe.txt.gz"), context_length=77)
    ours = clip_tokenizer(found, pad=END)
    assert vocab_size(found) == stock.vocab_size == len(ours)
    assert all(len(stock.encode(word)) == 1 for word in words)
    for text in ("a pair of red scissors at night", NEGATIVE_PROMPT[:60]):
        ids = ours(text).input_ids
        assert stock(text)[0, : len(ids)].tolist() == ids
        assert max(ids) == ids[-1]


def test_word_tokenizer_returns_what_it_took():
    tokenizer = word_tokenizer(vocabulary())
    text = "we see an orange scrambled picture on the left in front of a wall"
    ids = tokenizer(text).input_ids
    assert len(ids) == len(text.split()) + 2
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def tiny_run(folder: Path, scenes: Scenes) -> Run:
    return Run(folder, folder, 0, torch.device("cpu"), scenes, share=1e-9)


def test_every_network_trains(tmp_path, monkeypatch):
    for module in MODULES:
        for name, recipe in vars(module).items():
            if isinstance(recipe, Recipe):
                monkeypatch.setattr(module, name, dataclasses.replace(recipe, batch_size=2))
            elif isinstance(recipe, Unclip):
                monkeypatch.setattr(module, name, recipe.model_copy(update={"batch_size": 2, "warmup_steps": 1}))
    run = tiny_run(tmp_path, draw(0, "train", 6))
    for train in TRAINERS.values():
        assert all(np.isfinite(loss) for loss in train(run).values())
    shipped = {path.relative_to(WEIGHTS) for path in weight_files(WEIGHTS)}
    assert {path.relative_to(tmp_path) for path in weight_files(tmp_path)} == shipped


def test_learning_rate_rises_and_falls():
    recipe = Recipe(steps=100, batch_size=1, lr=1.0)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 3)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_fit_keeps_the_average_and_repeats_itself(tmp_path):
    def trained(average):
        run = tiny_run(tmp_path, Scenes(np.zeros(0), [], np.zeros(0)))
        run = dataclasses.replace(run, share=1.0)
        torch.manual_seed(0)
        network, generator = torch.nn.Linear(4, 1), run.generator("test")

        def loss():
            batch = torch.randn(8, 4, generator=generator)
            return {"loss": (network(batch) - batch.sum(dim=1, keepdim=True)).square().mean()}

        recipe = Recipe(steps=60, batch_size=8, lr=0.1, average=average)
        values = fit("line", {"line": network}, loss, recipe, run, generator)
        return network.weight.detach().clone(), values["loss"]

    last, loss = trained(0.0)
    assert loss < 0.1
    assert torch.equal(last, trained(0.0)[0])
    averaged, _ = trained(0.9)
    assert not torch.equal(last, averaged)
    torch.testing.assert_close(last, averaged, atol=0.3, rtol=0)

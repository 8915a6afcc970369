"""The table of published files, what of it a configuration needs, and files that somebody has already."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mindeye2 import published
from mindeye2.cli import main
from mindeye2.config import load_config
from mindeye2.convert import CONVERSIONS
from mindeye2.errors import UserError
from mindeye2.metrics.features import JUDGES
from mindeye2.metrics.texts import NETWORKS as CAPTION_NETWORKS
from mindeye2.sources import Fingerprints
from mindeye2.store import file_sha256
from mindeye2.weights import add_to_record, needed, read_record, verify

CONFIGS = Path(__file__).parents[3] / "config"
SHIPPED = ("paper", "light", "ablations", "unclip", "demo", "haxby", "controls", "backbones")


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    """Where the shipped configurations' relative paths lead to."""
    monkeypatch.chdir(CONFIGS.parent)


def test_every_entry_can_be_fetched_and_checked():
    for network in published.published().values():
        assert bool(network.files) != bool(network.along), network.name
        for file in network.files:
            assert bool(file.hub) != bool(file.url) and bool(file.hub) == bool(file.revision), file
            assert (file.size is None) == bool(file.about), f"{file}: a size, or about how much"
            assert re.fullmatch(r"([0-9a-f]{8}|[0-9a-f]{64})?", file.sha256), file
            assert file.makes == (file.name,) if not file.convert else file.convert in CONVERSIONS, file
        if network.cache == "torch":
            # torch's hub puts the first digits of a file's hash into its name.
            (file,) = network.files
            stated = re.search(r"-([0-9a-f]{8})\.pth$", file.name)
            assert file.sha256.startswith(stated[1] if stated else "")


def test_the_table_says_which_stages_and_metrics_read_a_network():
    stages: dict[str, set[str]] = {}
    for name in SHIPPED:
        for need in needed(load_config(CONFIGS / f"{name}.yaml")):
            stages.setdefault(need.name, set()).update(need.stages)
    table = published.published()
    assert {name: set(network.stages) for name, network in table.items()} == stages
    for judge in JUDGES:
        assert table[judge.network].metrics == tuple(judge.layers)
    for metric, network in CAPTION_NETWORKS.items():
        assert table[network].metrics == (metric,)


def test_what_the_paper_needs_and_none_of_it_is_there(tmp_path, capsys):
    command = ["weights", "list", "--config", "config/paper.yaml", "--set", f"paths.weights={tmp_path}/none"]
    assert main(command) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"weights  {tmp_path}/none  (no such folder)"
    row = {line.split()[0]: line for line in lines[3:] if line}
    assert re.search(r"unclip +reconstruct +16\.7 GiB +missing +not stated", row["unclip"])
    assert re.search(r"vae +reconstruct, refine +with unclip +missing", row["vae"])
    assert "missing (for alexnet2, alexnet5)" in row["alexnet"]
    assert "0 of 16 networks are there, 0 B" in lines
    # The 17 980 447 939 bytes of unclip count once, although the VAE is made of them too.
    sizes = [file.size or file.about for network in published.published().values() for file in network.files]
    assert f"~{sum(sizes) / 2**30:.1f} GiB to download: mindeye2 weights fetch" in lines
    assert "openai_clip" not in {need.name for need in needed(load_config("config/demo.yaml"))}


def test_the_demo_brings_all_that_it_needs(capsys):
    assert main(["weights", "list", "--config", "config/demo.yaml"]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r" there +", out)) == 6 and " lacks " not in out
    assert main(["weights", "verify", "--config", "config/demo.yaml"]) == 0
    assert "sdxl: not the published files, but your own or damaged ones" in capsys.readouterr().out


def test_a_folder_with_holes_is_no_network(tmp_path, capsys):
    folder = tmp_path / "captioner"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    arguments = ["--config", "config/paper.yaml", "--set", f"paths.weights={tmp_path}"]
    assert main(["weights", "list", *arguments]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("captioner"))
    assert "~6.8 MiB  lacks converter.safetensors" in line
    (need,) = [need for need in needed(load_config("config/paper.yaml", arguments[3:])) if need.name == "captioner"]
    assert [file.name for file in need.files] == ["bigG_to_L_epoch8.pth"]
    assert main(["weights", "verify", *arguments]) == 1
    assert "captioner: lacks converter.safetensors" in capsys.readouterr().out


def test_a_network_of_ones_own_is_not_the_published_one(tmp_path, capsys):
    own = tmp_path / "mine.safetensors"
    command = ["weights", "list", "--config", "config/demo.yaml", "--set", f"refine.weights={own}"]
    assert main(command) == 1
    assert re.search(rf"sdxl +refine +\? +missing, {own} +your own", capsys.readouterr().out)
    prints = Fingerprints(load_config("config/demo.yaml"), tmp_path / "memory.json")
    with pytest.raises(UserError, match=r"mine\.safetensors: no such network; put its weights there"):
        prints.network("sdxl", inside=str(own))
    own.write_bytes(bytes(3000))
    assert main(command) == 0
    assert re.search(rf"sdxl +refine +2\.9 KiB +there, {own} +your own", capsys.readouterr().out)


def test_two_networks_of_one_kind_are_both_listed(tmp_path, capsys):
    """The SDXL that an unCLIP network is trained from, and the one that refines."""
    options = ["--config", "config/unclip.yaml", "--set", f"paths.weights={tmp_path}"]
    both = [*options, "--set", "refine.weights=zavy.safetensors"]
    assert main(["weights", "list", *options]) == 1
    assert re.search(r"sdxl +unclip, refine +6\.3 GiB +missing  ", capsys.readouterr().out)
    assert main(["weights", "list", *both]) == 1
    out = capsys.readouterr().out
    assert re.search(r"sdxl +unclip +6\.3 GiB +missing  ", out)
    assert re.search(rf"sdxl +refine +\? +missing, {tmp_path}/zavy\.safetensors +your own", out)
    assert main(["weights", "verify", *both]) == 1
    assert capsys.readouterr().out.count("sdxl: lacks its folder") == 2
    assert main(["check-data", *both]) == 1
    out = capsys.readouterr().out
    assert "weights/sdxl/\n" in out and "weights/zavy.safetensors/\n" in out
    (tmp_path / "zavy.safetensors").write_bytes(bytes(3000))
    assert main(["weights", "list", *both]) == 1
    assert re.search(r"sdxl +refine +2\.9 KiB +there, ", capsys.readouterr().out)


def test_listing_is_light():
    code = (
        "import sys; from mindeye2.cli import main; main(['weights', 'list', '--config', 'config/demo.yaml']); "
        "print([m for m in ('torch', 'transformers', 'numpy', 'huggingface_hub') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1] == "[]"


def test_stages_ask_no_hub():
    code = (
        "from mindeye2.cli import main; main('targets --spec none --store none --stamp none'.split()); "
        "from huggingface_hub import constants; print(constants.is_offline_mode())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True, stderr=subprocess.DEVNULL) == "True\n"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A table of one network of two published files, and both of them in a folder of somebody's."""
    kept = tmp_path / "kept"
    (kept / "half").mkdir(parents=True)
    (kept / "config.json").write_text("{}")
    (kept / "half/model.fp16.safetensors").write_bytes(b"weights")
    table = tmp_path / "weights.yaml"
    files = {
        "config.json": {},
        "model.safetensors": {
            "at": "half/model.fp16.safetensors",
            "sha256": file_sha256(kept / "half/model.fp16.safetensors"),
        },
    }
    entry = {"what": "-", "licence": "-", "stages": ["evaluate"], "metrics": ["sentence"]}
    entry["from"] = [{"hub": "a/b", "revision": "main", "files": files}]
    table.write_text(yaml.safe_dump({"sentence": entry}))
    monkeypatch.setattr(published, "TABLE", table)
    published.published.cache_clear()
    yield kept
    published.published.cache_clear()


def weights(own: Path, *words: str) -> int:
    arguments = ["--config", "config/haxby.yaml", "--set", f"paths.weights={own.parent}/weights"]
    return main(["weights", *words, *arguments])


def test_adopted_files_are_links_to_where_they_are(own, capsys):
    assert weights(own, "adopt", "sentence", str(own)) == 0
    folder = own.parent / "weights/sentence"
    assert capsys.readouterr().out == f"sentence: there, {folder}\n"
    link = folder / "model.safetensors"
    assert link.is_symlink() and link.resolve() == own / "half/model.fp16.safetensors"
    record = json.loads((own.parent / "weights/fetched.json").read_text())
    assert record["sentence/config.json"]["from"] == str(own / "config.json")


def test_a_single_file_waits_for_the_others(own, capsys):
    assert weights(own, "adopt", "sentence", str(own / "half/model.fp16.safetensors")) == 0
    assert "1 of 2 files adopted; mindeye2 weights fetch gets the others" in capsys.readouterr().out
    assert not (own.parent / "weights/sentence").exists()
    assert weights(own, "adopt", "sentence", str(own / "config.json")) == 0
    assert (own.parent / "weights/sentence/model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("sentences", "."), "sentences: not a network that is fetched; choose from sentence"),
        (("sentence", "nowhere"), "nowhere: no such file or folder"),
        (("sentence", "config"), "config: holds none of sentence's published files (config.json, half/model.fp16"),
    ],
)
def test_what_cannot_be_adopted(own, words, line, capsys):
    assert weights(own, "adopt", *words) == 1
    assert line in capsys.readouterr().err


def test_a_file_that_is_not_the_published_one_is_not_adopted(own, capsys):
    (own / "half/model.fp16.safetensors").write_bytes(b"other")
    assert weights(own, "adopt", "sentence", str(own)) == 1
    assert "as published for sentence/model.safetensors: damaged or another version" in capsys.readouterr().err
    assert not (own.parent / "weights/sentence").exists()
    # Nothing of it is left for a later fetch to take for whole.
    assert not (own.parent / "weights/.fetch/sentence/model.safetensors").exists()


def test_verify_names_a_file_that_has_changed(own, capsys):
    assert weights(own, "adopt", "sentence", str(own)) == 0
    capsys.readouterr()
    weights(own, "verify")
    assert "sentence: 2 of 2 files verified" in capsys.readouterr().out
    # The table knows no hash of this one; the record of its adoption does.
    (own / "config.json").write_text('{"edited": 1}')
    found = verify(load_config("config/haxby.yaml", [f"paths.weights={own.parent}/weights"]))
    (line,) = [line for line, sound in found if not sound and "lacks" not in line]
    assert "sentence/config.json: its sha256 is " in line and "damaged or another version" in line


def test_adopting_replaces_no_file_that_is_there(own, capsys):
    folder = own.parent / "weights/sentence"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("mine")
    assert weights(own, "adopt", "sentence", str(own)) == 1
    assert f"{folder}/config.json: is there already, and another file than {own}/config.json; move it away first" in (
        capsys.readouterr().err
    )
    assert (folder / "config.json").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json"]


def test_files_that_are_in_their_place_are_adopted_there(own, capsys):
    folder = own.parent / "weights/sentence"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    for _ in range(2):
        assert weights(own, "adopt", "sentence", str(folder)) == 0
        assert capsys.readouterr().out == f"sentence: there, {folder}\n"
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert "sentence/model.safetensors" in json.loads((own.parent / "weights/fetched.json").read_text())


@pytest.mark.parametrize("text", ["[1, 2]", '{"sentence/model.safetensors": 3, "clip": {"sha256": 5}}', "{"])
def test_a_record_that_tells_nothing_is_passed_over(tmp_path, text):
    (tmp_path / "fetched.json").write_text(text)
    assert read_record(tmp_path) == {}
    add_to_record(tmp_path, {"clip/a.bin": {"sha256": "ab"}})
    assert read_record(tmp_path) == {"clip/a.bin": {"sha256": "ab"}}

"""Fetching from a publisher on loopback, through the command line and the hub's real client."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from publisher import COMMIT, Publisher, serve, sha256
from safetensors import SafetensorError

from mindeye2 import published
from mindeye2.cli import main
from mindeye2.convert import CONVERSIONS

CONFIG = Path(__file__).parents[3] / "config" / "haxby.yaml"
MIB = 1 << 20
CHUNK = 10 * MIB
"""What the hub's client writes at once: an interruption costs at most so much of a transfer."""
ALEXNET, SWAV = "alexnet.pth", "swav.pth.tar"
REPOSITORY, REVISION = "someone/sentences", "main"


def content_of(size: int) -> bytes:
    return (bytes(i % 251 for i in range(4099)) * (size // 4099 + 1))[:size]


class Lab:
    """A table of three networks, a publisher of their files, and an empty weights folder."""

    def __init__(self, publisher: Publisher, folder: Path):
        self.publisher, self.folder, self.weights = publisher, folder, folder / "weights"
        self.table = folder / "weights.yaml"
        self.put(ALEXNET, b"alexnet" * 1000)
        self.put(SWAV, b"swav" * 1000)
        self.put(f"{REPOSITORY}/resolve/{REVISION}/config.json", b"{}")
        self.put(f"{REPOSITORY}/resolve/{REVISION}/model.safetensors", b"sentence" * 1000)
        plain = {"what": "-", "licence": "-", "stages": ["evaluate"]}
        hub = {"hub": REPOSITORY, "revision": REVISION, "files": {"config.json": {}, "model.safetensors": {}}}
        self.entries = {
            "alexnet": {**plain, "metrics": ["alexnet2"], "from": [self.plain(ALEXNET)]},
            "swav": {**plain, "metrics": ["swav"], "from": [self.plain(SWAV)]},
            "sentence": {**plain, "metrics": ["sentence"], "from": [hub]},
        }

    def put(self, path: str, content: bytes) -> None:
        self.publisher.files[path] = content

    def plain(self, name: str, **details) -> dict:
        return {"url": self.publisher.url, "files": {name: details}}

    def details(self, network: str, **details) -> None:
        """State more of the network's last file."""
        files = self.entries[network]["from"][-1]["files"]
        files[list(files)[-1]].update(details)

    @property
    def arguments(self) -> list[str]:
        self.table.write_text(yaml.safe_dump(self.entries))
        return ["--config", str(CONFIG), "--set", f"paths.weights={self.weights}"]

    def start(self, *words: str, **options) -> subprocess.Popen:
        """The command in a process of its own, as a shell has it, with the table and the hub of this lab."""
        arguments = ["weights", *words, *self.arguments]
        code = f"import mindeye2.published as p; p.TABLE = p.Path({str(self.table)!r})\n"
        code += f"from mindeye2.cli import main; raise SystemExit(main({arguments!r}))"
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=CONFIG.parents[1],
            env={
                **os.environ,
                "HF_ENDPOINT": self.publisher.url,
                "HF_HOME": str(self.folder / "hf"),
                **options.pop("env", {}),
            },
            **options,
        )

    def run(self, *words: str, **options) -> tuple[int, str, str]:
        process = self.start(*words, **options)
        out, err = process.communicate(timeout=200)
        return process.returncode, out, err

    def parts(self) -> list[Path]:
        return sorted((self.weights / ".fetch" / "parts").iterdir())


@pytest.fixture
def lab(tmp_path, monkeypatch):
    with serve() as publisher:
        made = Lab(publisher, tmp_path)
        monkeypatch.setattr(published, "TABLE", made.table)
        monkeypatch.chdir(CONFIG.parents[1])
        published.published.cache_clear()
        yield made
    published.published.cache_clear()


def fetch(lab: Lab, *names: str) -> int:
    arguments = lab.arguments
    published.published.cache_clear()
    return main(["weights", "fetch", *names, *arguments])


def error(capsys) -> str:
    """The one line that a person gets to read."""
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("mindeye2: error: ")]
    assert len(lines) == 1 and "Traceback" not in said, said
    return lines[0]


def test_files_get_their_names_and_the_record_says_where_they_came_from(lab, capsys):
    lab.details("alexnet", sha256=sha256(lab.publisher.files[ALEXNET])[:8], size=7000)
    assert fetch(lab, "alexnet", "swav") == 0
    assert (lab.weights / "alexnet" / ALEXNET).read_bytes() == lab.publisher.files[ALEXNET]
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: there, {lab.weights}/{name}" for name in ("alexnet", "swav")
    ]
    assert json.loads((lab.weights / "fetched.json").read_text())[f"alexnet/{ALEXNET}"] == {
        "from": f"{lab.publisher.url}/{ALEXNET}",
        "size": 7000,
        "sha256": sha256(lab.publisher.files[ALEXNET]),
    }
    lab.publisher.clear()
    assert fetch(lab, "alexnet", "swav") == 0
    assert "nothing to fetch" in capsys.readouterr().out and not lab.publisher.sent


def test_the_hub_through_its_own_client_and_a_mirror(lab):
    status, out, err = lab.run("fetch", "sentence")
    assert (status, out) == (0, f"sentence: there, {lab.weights}/sentence\n"), err
    assert (lab.weights / "sentence/config.json").read_bytes() == b"{}"
    entry = json.loads((lab.weights / "fetched.json").read_text())["sentence/model.safetensors"]
    assert entry["revision"] == COMMIT and entry["from"].startswith(lab.publisher.url)
    assert entry["sha256"] == sha256(b"sentence" * 1000)


def interrupt(lab: Lab, network: str, how: signal.Signals, *, after: int, **environment: str) -> tuple[int, str]:
    """Start to fetch, and end that when ``after`` bytes are on the disk and the publisher has stalled."""
    lab.publisher.stall_after = after + MIB
    process = lab.start("fetch", network, env=environment)
    deadline = time.monotonic() + 200
    while not (lab.weights / ".fetch/parts").is_dir() or sum(part.stat().st_size for part in lab.parts()) < after:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    _, err = process.communicate(timeout=200)
    lab.publisher.clear()
    return process.returncode, err


@pytest.mark.parametrize(
    ("network", "path"), [("alexnet", ALEXNET), ("sentence", f"{REPOSITORY}/resolve/{REVISION}/model.safetensors")]
)
def test_a_killed_transfer_goes_on_where_it_was(lab, network, path):
    whole = content_of(3 * CHUNK)
    lab.put(path, whole)
    interrupt(lab, network, signal.SIGKILL, after=2 * CHUNK)
    assert not (lab.weights / network).exists()
    status, _, err = lab.run("fetch", network)
    assert status == 0, err
    (found,) = (lab.weights / network).rglob(Path(path).name)
    assert found.read_bytes() == whole
    assert lab.publisher.ranges == [f"bytes={2 * CHUNK}-"]
    assert lab.publisher.sent[path] == len(whole) - 2 * CHUNK
    assert lab.parts() == []


def test_ctrl_c_ends_it_soon_and_keeps_what_has_arrived(lab):
    lab.put(ALEXNET, content_of(3 * CHUNK))
    status, err = interrupt(lab, "alexnet", signal.SIGINT, after=CHUNK, HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert status == 130 and "Traceback" not in err
    assert [part.stat().st_size for part in lab.parts()] == [CHUNK]
    assert not (lab.weights / "alexnet").exists()


def test_a_part_of_another_version_is_not_continued(lab):
    """Its first half would be the old content."""
    path = f"{REPOSITORY}/resolve/{REVISION}/model.safetensors"
    lab.put(path, content_of(3 * CHUNK))
    interrupt(lab, "sentence", signal.SIGKILL, after=CHUNK)
    lab.put(path, content_of(3 * CHUNK)[::-1])
    assert lab.run("fetch", "sentence")[0] == 0
    assert (lab.weights / "sentence/model.safetensors").read_bytes() == lab.publisher.files[path]
    assert lab.publisher.ranges == []


def test_a_wrong_hash_is_refused_and_set_aside(lab, capsys):
    wanted = sha256(b"what was published")
    lab.details("alexnet", sha256=wanted)
    assert fetch(lab, "alexnet") == 1
    line, found = error(capsys), sha256(lab.publisher.files[ALEXNET])
    assert f"its sha256 is {found}, not {wanted}" in line
    (aside,) = (lab.weights / ".fetch/refused").iterdir()
    assert str(aside) in line and aside.name.endswith(f".sha256-is-{found[:12]}")
    assert not (lab.weights / "alexnet").exists() and lab.parts() == []


def test_the_hubs_own_hash_is_checked_where_the_table_knows_none(lab):
    """A proxy that spoils the content, say: the hub's statement and the bytes differ."""
    path = f"{REPOSITORY}/resolve/{REVISION}/model.safetensors"

    class Spoilt(bytes):
        def __getitem__(self, key):
            return b"x" * len(bytes.__getitem__(self, key))

    lab.put(path, Spoilt(b"sentence" * 1000))
    status, _, err = lab.run("fetch", "sentence")
    assert status == 1 and f"not {sha256(b'sentence' * 1000)} as published" in err
    assert not (lab.weights / "sentence").exists()


def test_another_version_is_refused_before_its_first_byte(lab, capsys):
    lab.details("alexnet", size=6999)
    assert fetch(lab, "alexnet") == 1
    assert "has 7000 bytes, not 6999: another version than the published alexnet/alexnet.pth" in error(capsys)
    lab.details("sentence", sha256=sha256(b"what was published"))
    status, _, err = lab.run("fetch", "sentence")
    assert status == 1 and f"has the sha256 {sha256(b'sentence' * 1000)}, not {sha256(b'what was published')}" in err
    assert set(lab.publisher.sent) == {f"{REPOSITORY}/resolve/{REVISION}/config.json"}


def test_a_file_that_is_not_there_is_named(lab, capsys):
    del lab.publisher.files[ALEXNET]
    assert fetch(lab, "alexnet") == 1
    assert f"{lab.publisher.url}/{ALEXNET}: 404, no such file there" in error(capsys)
    del lab.publisher.files[f"{REPOSITORY}/resolve/{REVISION}/model.safetensors"]
    status, _, err = lab.run("fetch", "sentence")
    assert status == 1 and "model.safetensors: 404, no such file there" in err and len(err.splitlines()) == 1


def test_a_network_of_which_a_file_failed_gets_no_folder_and_the_rest_is_kept(lab):
    """Planning takes whatever is in a network's folder for the network."""
    config, model = (f"{REPOSITORY}/resolve/{REVISION}/{name}" for name in ("config.json", "model.safetensors"))
    del lab.publisher.files[model]
    assert lab.run("fetch", "sentence", "swav")[0] == 1
    assert (lab.weights / "swav" / SWAV).is_file() and not (lab.weights / "sentence").exists()
    lab.put(model, b"right")
    lab.publisher.clear()
    assert lab.run("fetch", "sentence")[0] == 0
    assert config not in lab.publisher.sent and lab.publisher.sent[model] == 5
    assert sorted(path.name for path in (lab.weights / "sentence").iterdir()) == ["config.json", "model.safetensors"]


def test_too_little_room_is_said_before_the_first_byte(lab, capsys):
    lab.publisher.declared[ALEXNET] = 10**15
    assert fetch(lab, "alexnet", "swav") == 1
    line = error(capsys)
    assert f"{lab.weights}: 909.5 TiB are needed to fetch 2 files" in line and "MINDEYE2_WEIGHTS" in line
    assert not lab.publisher.sent


def test_a_disk_that_takes_no_more_is_named_and_what_arrived_is_kept(lab):
    lab.put(ALEXNET, content_of(2 * CHUNK))

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK + MIB, resource.RLIM_INFINITY))

    status, _, err = lab.run("fetch", "alexnet", preexec_fn=small_files)
    assert status == 1 and len(err.splitlines()) == 1, err
    assert f"alexnet/{ALEXNET}: cannot be written: File too large; make room" in err
    assert [part.stat().st_size for part in lab.parts()] != [0]
    status, _, err = lab.run("fetch", "alexnet")
    assert status == 0, err
    assert (lab.weights / "alexnet" / ALEXNET).read_bytes() == lab.publisher.files[ALEXNET]


def test_a_size_that_only_the_table_knows_counts(lab, capsys):
    """A server that redirects to another host states none."""
    lab.publisher.elsewhere[ALEXNET] = f"{lab.publisher.url.replace('127.0.0.1', 'localhost')}/moved.pth"
    lab.put("moved.pth", b"alexnet" * 1000)
    lab.details("alexnet", size=10**15)
    assert fetch(lab, "alexnet") == 1
    assert "909.5 TiB are needed to fetch 1 files" in error(capsys) and not lab.publisher.sent
    lab.details("alexnet", size=7000)
    assert fetch(lab, "alexnet") == 0
    assert (lab.weights / "alexnet" / ALEXNET).read_bytes() == b"alexnet" * 1000


def test_a_network_whose_place_is_no_folder_is_named(lab, capsys):
    lab.weights.mkdir()
    (lab.weights / "alexnet").symlink_to(lab.folder / "gone")
    assert fetch(lab, "alexnet", "swav") == 1
    assert f"{lab.weights}/alexnet: cannot take the files of alexnet (Not a directory); move it away" in error(capsys)
    assert (lab.weights / "swav" / SWAV).is_file()
    (lab.weights / "alexnet").unlink()
    lab.publisher.clear()
    assert fetch(lab, "alexnet") == 0 and not lab.publisher.sent
    assert (lab.weights / "alexnet" / ALEXNET).is_file()


def test_a_disk_that_is_full_while_a_file_is_converted_is_named(lab, capsys, monkeypatch):
    def full(source: Path, out: Path) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setitem(CONVERSIONS, "convnext", full)
    details = {"convert": "convnext", "makes": ["model.safetensors"]}
    lab.entries["convnext"] = {**lab.entries["alexnet"], "metrics": [], "from": [lab.plain(ALEXNET, **details)]}
    assert fetch(lab, "convnext") == 1
    assert ".fetch/convnext: cannot be written: No space left on device; make room" in error(capsys)
    # What has arrived is not fetched again.
    monkeypatch.setitem(CONVERSIONS, "convnext", lambda source, out: (out / "model.safetensors").write_bytes(b"made"))
    lab.publisher.clear()
    assert fetch(lab, "convnext") == 0 and not lab.publisher.sent


def test_a_network_that_comes_along_replaces_none(lab, capsys, monkeypatch):
    """The VAE out of unCLIP's file, where somebody has put another one."""

    def both(source: Path, out: Path) -> None:
        for folder in (out, out.with_name("vae")):
            folder.mkdir(exist_ok=True)
            (folder / "model.safetensors").write_bytes(b"made")

    monkeypatch.setitem(CONVERSIONS, "unclip", both)
    plain = {"what": "-", "licence": "-", "stages": ["reconstruct"]}
    details = {"convert": "unclip", "makes": ["model.safetensors"]}
    lab.entries |= {"unclip": {**plain, "from": [lab.plain(ALEXNET, **details)]}, "vae": {**plain, "along": "unclip"}}
    own = lab.weights / "vae/model.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    assert fetch(lab, "unclip") == 0
    assert capsys.readouterr().out == f"unclip: there, {lab.weights}/unclip\n" and own.read_bytes() == b"mine"
    assert not (lab.weights / ".fetch/vae").exists()
    shutil.rmtree(lab.weights)
    assert fetch(lab, "unclip") == 0
    assert capsys.readouterr().out == f"unclip and vae: there, {lab.weights}/unclip\n" and own.read_bytes() == b"made"
    record = json.loads((lab.weights / "fetched.json").read_text())
    assert record["vae/model.safetensors"]["sha256"] == record["unclip/model.safetensors"]["sha256"] == sha256(b"made")


def test_a_released_pickle_becomes_what_the_loader_reads(lab, capsys):
    import torch

    from mindeye2.frozen.convnext import ConvNeXtTeacher

    teacher = ConvNeXtTeacher.load("mindeye2/demo/weights/convnext")
    kept = lab.folder / "full.pth"
    details = {"convert": "convnext", "makes": ["config.json", "model.safetensors"]}
    lab.entries["convnext"] = {**lab.entries["alexnet"], "metrics": [], "from": [lab.plain("full.pth", **details)]}
    # Something else under the right name: refused, and not taken for whole by the next fetch.
    torch.save({"model": {}}, kept)
    lab.put("full.pth", kept.read_bytes())
    assert fetch(lab, "convnext") == 1
    assert "holds no tensors by name under 'model'" in error(capsys) and not (lab.weights / "convnext").exists()
    torch.save({"model": {f"module.{name}": value for name, value in teacher.state_dict().items()}}, kept)
    lab.put("full.pth", kept.read_bytes())
    assert fetch(lab, "convnext") == 0
    assert sorted(path.name for path in (lab.weights / "convnext").iterdir()) == ["config.json", "model.safetensors"]
    pictures = torch.rand(1, 3, 64, 64)
    assert torch.equal(ConvNeXtTeacher.load(lab.weights / "convnext").features(pictures), teacher.features(pictures))
    record = json.loads((lab.weights / "fetched.json").read_text())
    assert record["convnext/model.safetensors"]["from"] == "convnext/full.pth"
    assert record["convnext/full.pth"]["sha256"] == sha256(kept.read_bytes())
    # What somebody has already stays theirs.
    shutil.rmtree(lab.weights)
    assert main(["weights", "adopt", "convnext", str(kept), *lab.arguments]) == 0
    assert kept.is_file() and not (lab.weights / "convnext/full.pth").exists()


def test_several_files_at_a_time(lab):
    lab.publisher.wait_for = threading.Barrier(2)
    assert fetch(lab, "alexnet", "swav") == 0


def test_offline_mode_asks_nobody(lab):
    status, _, err = lab.run("fetch", "alexnet", env={"HF_HUB_OFFLINE": "1"})
    assert status == 1 and len(err.splitlines()) == 1
    assert "HF_HUB_OFFLINE: is set" in err and "weights adopt" in err
    assert not lab.publisher.sent


def test_no_network_is_named(lab, capsys):
    lab.entries["alexnet"]["from"][0]["url"] = "http://127.0.0.1:9"
    assert fetch(lab, "alexnet") == 1
    assert "http://127.0.0.1:9/alexnet.pth: cannot be reached (ConnectError: " in error(capsys)


def test_progress_says_how_much_of_all_of_it_is_there(lab, capsys):
    lab.put(ALEXNET, content_of(2 * CHUNK))
    assert fetch(lab, "alexnet", "swav") == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"MiB of weights: 20/20  [\d:]+ spent, 0:00 left", last)


def test_names_that_the_configuration_does_not_need(lab, capsys):
    assert fetch(lab, "convnextt") == 1
    assert "convnextt: not needed by this configuration; choose from " in error(capsys)

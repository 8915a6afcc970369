"""What the configurations of the paper's size would run, planned against NSD's names and sizes alone."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import skeleton_tree

from mindeye2.config import load_config
from mindeye2.nodes import Plan
from mindeye2.plan import make_plan
from mindeye2.specs import size_of

REPOSITORY = Path(__file__).parents[2]
CPU_SECONDS = 10.0
"""Wall time says more of who else computes: three seconds of it alone on a machine, ten beside a training."""

# Every subject is read, since seven are pretrained on: 8 behav and 8 betas in each.
# paper: 4 subjects x 2 numbers of sessions = 8 cells, 4 pretrainings (one without each subject), 3 target networks and
# what the captioner says of the true pictures.
PAPER = dict.fromkeys(("behav", "betas", "finetune", "reconstruct", "refine", "evaluate"), 8) | {
    "stimuli": 1,
    "targets": 3 + 1,
    "pretrain": 4,
    "tables": 1,
}
# light: the same 8 cells and 4 pretrainings; without the low-level branch CLIP is the only target network.
LIGHT = PAPER | {"targets": 1 + 1}
# ablations: Tables 4 and 5 are 8 cells (All = ME2), Table 6 is 1, Table 10 is 3, Table 11 adds 1 to one of those: 13.
# Table 11 trains and reconstructs nothing of its own: 12. Refined are Tables 6, 10 and 11: 1 + 3 + 1. Pretrained are
# the three sets of Table 10. The fourth target network is CLIP L.
ABLATIONS = PAPER | {"targets": 4 + 1, "pretrain": 3, "finetune": 12, "reconstruct": 12, "refine": 5, "evaluate": 13}
# unclip: 1 cell of the paper's, of which 4 variants decode: 2 with refinement, 4 with pictures of their own. The
# network has its own pictures, tokens and latents.
UNCLIP = dict.fromkeys(("finetune", "pretrain", "tables", "unclip"), 1) | dict.fromkeys(("behav", "betas"), 8)
UNCLIP |= {"stimuli": 2, "targets": 3 + 1 + 2, "reconstruct": 4, "refine": 2, "evaluate": 4}


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory) -> dict[str, str]:
    """Variables that point at a tree of 300 GB which takes no room."""
    root = tmp_path_factory.mktemp("skeleton")
    skeleton_tree.write(root)
    assert (root / "nsd/nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5").stat().st_size > 73000 * 425 * 425 * 3
    folders = {"DATASET": "nsd", "CAPTIONS": "coco", "WEIGHTS": "weights", "STORE": "store"}
    return {f"MINDEYE2_{name}": str(root / folder) for name, folder in folders.items()}


@pytest.mark.parametrize(
    ("name", "jobs"), [("paper", PAPER), ("light", LIGHT), ("ablations", ABLATIONS), ("unclip", UNCLIP)]
)
def test_a_dry_run_lists_exactly_the_jobs_of_the_tables(skeleton, tmp_path, name, jobs):
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--profile", REPOSITORY / "profiles/default"]
    files = ["--snakefile", REPOSITORY / "workflow/Snakefile", "--configfile", REPOSITORY / f"config/{name}.yaml"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(
        [*command, *files],
        cwd=tmp_path,
        env={**os.environ, **skeleton, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = answer.stdout + answer.stderr
    assert answer.returncode == 0, said
    listed = re.findall(r"^Job \d+: (\w+) (.+)$", said, flags=re.MULTILINE)
    assert {stage: sum(stage == other for other, _ in listed) for stage, _ in listed} == jobs
    assert len(set(listed)) == len(listed), "two jobs of one name"
    assert ("betas", "subj08") in listed and ("tables", name) in listed
    counts = dict(re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE))
    assert int(counts["total"]) == sum(jobs.values()) + 2, "beside the stages, view and all"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < CPU_SECONDS


def test_settings_in_braces_on_the_command_line_are_read_as_in_a_file(skeleton, tmp_path):
    """What the header of config/light.yaml offers; Snakemake leaves such numbers as text."""
    header = (REPOSITORY / "config/light.yaml").read_text()
    setting = re.search(r"--config '(.+?)'", header)[1]
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--profile", REPOSITORY / "profiles/default"]
    files = ["--snakefile", REPOSITORY / "workflow/Snakefile", "--configfile", REPOSITORY / "config/light.yaml"]
    answer = subprocess.run(
        [*command, *files, "--config", setting],
        cwd=tmp_path,
        env={**os.environ, **skeleton, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = answer.stdout + answer.stderr
    assert answer.returncode == 0, said
    counts = dict(re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE))
    assert (counts["pretrain"], counts["evaluate"]) == ("1", "2")


@pytest.fixture(scope="module")
def plans(skeleton, tmp_path_factory) -> dict[str, Plan]:
    folder = tmp_path_factory.mktemp("plans")
    with pytest.MonkeyPatch.context() as patch:
        for variable, path in skeleton.items():
            patch.setenv(variable, path)
        configs = {name: load_config(REPOSITORY / f"config/{name}.yaml") for name in ("paper", "ablations")}
        return {name: make_plan(config, folder) for name, config in configs.items()}


def test_ablations_take_over_what_the_paper_has_built(plans):
    (ours,) = [cell for cell in plans["ablations"].cells if cell.variant == "pretrained_2to8"]
    (theirs,) = [cell for cell in plans["paper"].cells if (cell.subject, cell.sessions) == (1, 1)]
    assert ours.pretrain.id == theirs.pretrain.id
    for stage in ("finetune", "reconstruct", "refine"):
        assert [node.id for node in getattr(ours, stage)] == [node.id for node in getattr(theirs, stage)]
    assert ours.evaluate.id == theirs.evaluate.id


LOWLEVEL = {"lowlevel_vae", "convnext"}


@pytest.mark.parametrize(
    ("variant", "hidden_dim", "sessions", "pretrained_on", "roles", "pictures", "refined"),
    [
        ("all", 1024, 10, None, LOWLEVEL, True, False),
        ("mlp", 1024, 10, None, LOWLEVEL, True, False),
        ("clip_l", 1024, 10, None, LOWLEVEL, False, False),
        ("prior", 1024, 10, None, set(), True, False),
        ("prior_lowlevel", 1024, 10, None, LOWLEVEL, True, False),
        ("prior_retrieval", 1024, 10, None, set(), True, False),
        ("retrieval", 1024, 10, None, set(), False, False),
        ("retrieval_lowlevel", 1024, 10, None, LOWLEVEL, False, False),
        ("scratch_40h", 4096, 40, None, LOWLEVEL, True, True),
        ("pretrained_2to8", 4096, 1, [2, 3, 4, 5, 6, 7, 8], LOWLEVEL, True, True),
        ("pretrained_257", 4096, 1, [2, 5, 7], LOWLEVEL, True, True),
        ("pretrained_5", 4096, 1, [5], LOWLEVEL, True, True),
        ("empty_prompt", 4096, 1, [2, 3, 4, 5, 6, 7, 8], LOWLEVEL, True, True),
    ],
)
def test_each_ablation_is_what_its_table_says(
    plans, variant, hidden_dim, sessions, pretrained_on, roles, pictures, refined
):
    (cell,) = [cell for cell in plans["ablations"].cells if cell.variant == variant]
    (finetune,), (reconstruct,) = cell.finetune, cell.reconstruct
    config, inputs = finetune.spec["config"], finetune.spec["inputs"]
    assert (cell.subject, cell.sessions) == (1, sessions)
    assert config["train_sessions"] == list(range(1, sessions + 1))
    assert config["model"]["hidden_dim"] == hidden_dim
    assert (cell.pretrain and cell.pretrain.spec["config"]["subjects"]) == pretrained_on
    assert set(inputs) - {"behav", "betas", "clip", "pretrain"} == roles
    assert any(path.startswith("weights/unclip/") for path in reconstruct.spec["sources"]) == pictures
    assert bool(cell.refine) == refined
    # What a cluster is asked for.
    size = "light" if hidden_dim == 1024 else "paper"
    assert [size_of(node, plans["ablations"]) for node in (finetune, reconstruct)] == [size, size]

"""Real kills, real damage, real full disks: nothing half-written under a final name, and a rerun finishes."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest


def store_of(checkout) -> Path:
    return Path(checkout.environment["MINDEYE2_STORE"])


def row_of(checkout, stage: str) -> dict:
    (row,) = [row for row in checkout.plan() if row["stage"] == stage]
    return row


def stage_command(checkout, stage: str) -> list[str]:
    key = row_of(checkout, stage)["key"]
    return [
        *("mindeye2", stage, "--spec", f".plan/{stage}/{key}.json"),
        *("--store", str(store_of(checkout)), "--stamp", f".stamps/{stage}/{key}"),
    ]


def wait_for_checkpoint(process, work: Path) -> None:
    deadline = time.time() + 120
    while not any(work.glob("checkpoint/" + "[0-9]" * 9)):
        assert process.poll() is None and time.time() < deadline, "no checkpoint appeared"
        time.sleep(0.005)


def test_killed_training_resumes_and_gives_the_same_weights(checkout):
    checkout.edit_config(finetune={"num_epochs": 100})
    checkout.snakemake("-n")
    key = row_of(checkout, "finetune")["key"]
    final = store_of(checkout) / "finetune" / key
    work = final.with_name(f"{key}.work")

    process = checkout.start(*stage_command(checkout, "finetune"))
    wait_for_checkpoint(process, work)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not final.exists()
    answer = checkout.run(*stage_command(checkout, "finetune"))
    assert answer.returncode == 0, answer.stdout
    assert "going on after step" in answer.stdout
    assert not work.exists()

    resumed = final.rename(final.with_name("resumed"))
    assert checkout.run(*stage_command(checkout, "finetune")).returncode == 0
    files = [json.loads((folder / "manifest.json").read_text())["files"] for folder in (resumed, final)]
    assert files[0]["model.safetensors"] == files[1]["model.safetensors"]


def test_interrupt_leaves_one_line_and_no_object(checkout):
    checkout.edit_config(finetune={"num_epochs": 100})
    checkout.snakemake("-n")
    final = store_of(checkout) / "finetune" / row_of(checkout, "finetune")["key"]
    process = checkout.start(*stage_command(checkout, "finetune"))
    wait_for_checkpoint(process, final.with_name(f"{final.name}.work"))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "interrupted" in output.splitlines()[-1]
    assert not final.exists()


def test_code_edited_while_a_job_waits_is_refused(checkout):
    checkout.snakemake("-n")
    shutil.rmtree(store_of(checkout) / "refine" / row_of(checkout, "refine")["key"])
    command = stage_command(checkout, "refine")
    checkout.edit_code("mindeye2/generate/refine.py", "def ", "EDITED = 1\n\n\ndef ")
    answer = checkout.run(*command)
    assert answer.returncode == 1
    assert "code changed since planning" in answer.stdout
    assert "Traceback" not in answer.stdout
    assert not list((store_of(checkout) / "refine").glob("[0-9a-f]*"))


def test_config_edited_while_a_job_waits_builds_what_was_planned(checkout):
    checkout.snakemake("-n")
    row = row_of(checkout, "evaluate")
    folder = store_of(checkout) / "evaluate" / row["key"]
    shutil.rmtree(folder)
    command = stage_command(checkout, "evaluate")
    checkout.edit_config(evaluate={"blend_weight": 0.9})
    assert checkout.run(*command).returncode == 0
    spec = json.loads((folder / "manifest.json").read_text())["spec"]
    assert spec["config"]["evaluate"]["blend_weight"] == 0.25


def test_edited_frozen_spec_is_refused(checkout):
    checkout.snakemake("-n")
    shutil.rmtree(store_of(checkout) / "refine" / row_of(checkout, "refine")["key"])
    command = stage_command(checkout, "refine")
    path = checkout.root / command[3]
    path.write_text(path.read_text().replace('"strength": 0.5', '"strength": 0.6'))
    answer = checkout.run(*command)
    assert answer.returncode == 1
    assert "was edited" in answer.stdout


def test_bit_flip_is_found_at_use_set_aside_and_rebuilt(checkout):
    checkout.snakemake("-n")
    store = store_of(checkout)
    shutil.rmtree(store / "refine" / row_of(checkout, "refine")["key"])
    shutil.rmtree(store / "evaluate" / row_of(checkout, "evaluate")["key"])
    shutil.rmtree(store / "tables" / row_of(checkout, "tables")["key"])
    damaged = store / "reconstruct" / row_of(checkout, "reconstruct")["key"] / "captions.json"
    damaged.chmod(0o600)
    damaged.write_bytes(bytes(byte ^ 1 for byte in damaged.read_bytes()))

    answer = checkout.snakemake()
    assert answer.returncode != 0
    assert "captions.json: content does not match its sha256" in answer.stdout
    assert "set aside" in answer.stdout
    (last,) = [line for line in answer.stdout.splitlines() if "(log: logs/refine/" in line]
    assert last.startswith("failed: refine default/subj01/1sess/seed42: mindeye2: error: reconstruct/")
    assert checkout.snakemake().returncode == 0
    assert checkout.mindeye2("verify", "--config", "micro.yaml").stdout.splitlines()[-1].endswith(", 0 damaged")


def test_tables_that_are_gone_are_built_again_though_their_view_is_there(checkout):
    assert checkout.snakemake().returncode == 0
    for stage in ("evaluate", "tables"):
        shutil.rmtree(store_of(checkout) / stage / row_of(checkout, stage)["key"])
    assert checkout.snakemake().returncode == 0
    assert row_of(checkout, "tables")["state"] == row_of(checkout, "evaluate")["state"] == "stored"


def test_verify_reports_and_sets_aside(checkout):
    row = row_of(checkout, "finetune")
    path = store_of(checkout) / "finetune" / row["key"] / "model.safetensors"
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(100)
    answer = checkout.mindeye2("verify", "--config", "micro.yaml")
    assert answer.returncode == 1
    assert "100 bytes instead of" in answer.stdout
    assert row_of(checkout, "finetune")["state"] == "missing"


def test_gc_keeps_the_view_and_drops_the_rest(checkout):
    assert checkout.snakemake().returncode == 0
    before = {(row["stage"], row["key"]) for row in checkout.plan()}
    checkout.edit_config(evaluate={"blend_weight": 0.5})
    assert checkout.snakemake().returncode == 0
    answer = checkout.mindeye2("gc", "--config", "micro.yaml")
    assert answer.returncode == 0
    assert answer.stdout.splitlines()[-1].startswith("2 objects")
    checkout.edit_config(evaluate={"blend_weight": 0.25})
    missing = {(row["stage"], row["key"]) for row in checkout.plan() if row["state"] == "missing"}
    assert {stage for stage, _ in missing} == {"evaluate", "tables"}
    assert missing <= before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small file system")
def test_full_disk_is_one_line_and_leaves_no_object(checkout, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        checkout.environment["MINDEYE2_STORE"] = str(small)
        checkout.snakemake("-n")
        answer = checkout.run(*stage_command(checkout, "stimuli"))
        assert answer.returncode == 1
        assert "Traceback" not in answer.stdout
        assert "No space left on device" in answer.stdout
        assert not list((small / "stimuli").glob("?" * 20))
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize(
    ("harm", "word"),
    [("remove", "No such file"), ("truncate", "truncated or damaged")],
)
def test_damaged_tree_is_one_message_naming_the_file(checkout, data, tmp_path, harm, word):
    tree = tmp_path / "tree"
    shutil.copytree(data / "nsd", tree)
    checkout.environment["MINDEYE2_DATASET"] = str(tree)
    betas = tree / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    path = betas / "betas_session02.hdf5"
    if harm == "remove":
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
    answer = checkout.snakemake("-n")
    lines = [line for line in answer.stdout.splitlines() if "betas_session02" in line]
    assert answer.returncode == 1
    assert len(lines) == 1
    assert lines[0].startswith("mindeye2: error:")
    assert "Traceback" not in answer.stdout


def test_config_error_is_one_line(checkout):
    checkout.edit_config(matrix={"sessions": [3]})
    for answer in (checkout.snakemake("-n"), checkout.mindeye2("plan", "--config", "micro.yaml")):
        assert answer.returncode == 1
        (line,) = [line for line in answer.stdout.splitlines() if "matrix.sessions" in line]
        assert line.startswith("mindeye2: error: matrix.sessions: 3 sessions of subject 1, which has 2")
        assert "Traceback" not in answer.stdout

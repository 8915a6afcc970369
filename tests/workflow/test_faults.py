"""What a user may do at the wrong moment, and raw data that are damaged: one line, and nothing wrong is stored."""

import shutil
import signal

import pytest
from test_kills import wait_for_checkpoint


def test_interrupt_leaves_one_line_and_no_object(checkout):
    checkout.edit_config(finetune={"num_epochs": 100})
    checkout.snakemake("-n")
    process = checkout.start(*checkout.stage_command("finetune"))
    wait_for_checkpoint(checkout, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "interrupted" in output.splitlines()[-1]
    assert not checkout.store.has("finetune", checkout.key("finetune"))


def test_code_edited_while_a_job_imports_it_is_refused(checkout):
    load = "        module = importlib.import_module"
    edit = "        open('mindeye2/report/rows.py', 'a').write('EDITED = 1')\n"
    checkout.edit_code("mindeye2/runner.py", load, f"{edit}{load}")
    checkout.snakemake("-n")
    checkout.lose("tables")
    answer = checkout.run(*checkout.stage_command("tables"))
    assert answer.returncode == 1
    assert "code changed since planning" in answer.stdout
    assert "Traceback" not in answer.stdout
    assert not checkout.store.keys("tables")


def test_edited_frozen_spec_is_refused(checkout):
    checkout.snakemake("-n")
    checkout.lose("refine")
    command = checkout.stage_command("refine")
    path = checkout.root / command[3]
    path.write_text(path.read_text().replace('"strength": 0.5', '"strength": 0.6'))
    answer = checkout.run(*command)
    assert answer.returncode == 1
    assert "was edited" in answer.stdout


def test_tables_that_are_gone_are_built_again_though_their_view_is_there(checkout):
    assert checkout.snakemake().returncode == 0
    checkout.lose("evaluate", "tables")
    assert checkout.snakemake().returncode == 0
    assert {row["state"] for row in checkout.plan()} == {"stored"}


def test_gc_keeps_the_view_and_drops_the_rest(checkout):
    assert checkout.snakemake().returncode == 0
    before = {(row["stage"], row["key"]) for row in checkout.plan()}
    checkout.edit_config(evaluate={"blend_weight": 0.5})
    assert checkout.snakemake().returncode == 0
    checkout.edit_config(evaluate={"blend_weight": 0.25})
    assert checkout.planned_jobs() == {}, "both values are stored, and changing back runs no stage"
    checkout.edit_config(evaluate={"blend_weight": 0.5})
    answer = checkout.mindeye2("gc", "--config", "micro.yaml")
    assert answer.returncode == 0
    assert ": 2 folders, " in answer.stdout.splitlines()[-1]
    checkout.edit_config(evaluate={"blend_weight": 0.25})
    missing = {(row["stage"], row["key"]) for row in checkout.plan() if row["state"] == "missing"}
    assert {stage for stage, _ in missing} == {"evaluate", "tables"}
    assert missing <= before


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

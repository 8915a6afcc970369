"""``status`` and ``why`` say what is stored, what runs, what stopped, and what is missing for what."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from stored_plan import HAXBY, haxby_plan, put, put_many

from mindeye2 import activity, status, why
from mindeye2.errors import UserError
from mindeye2.progress import REPORT_FILE, REPORT_VARIABLE, Progress
from mindeye2.specs import called
from mindeye2.store import Store


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(HAXBY.parents[1])
    plan = haxby_plan(tmp_path / "plan")
    monkeypatch.chdir(tmp_path)
    return plan


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def of(plan, stage):
    return [node for node in plan.ordered() if node.stage == stage]


def row(lines: list[str], first: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"{first} ")]
    return line.split()[1:]


def test_table_counts_states_disk_and_hours(plan, store):
    first, second, third = of(plan, "finetune")[:3]
    put(store, first, seconds=3600.0, gpus=2, size=1024)
    put(store, second, seconds=1800.0, gpus=0, size=1024)
    store.work(third.stage, third.key).mkdir()
    with store.lock(third.stage, third.key):
        lines = list(status.describe(plan, store))
    assert row(lines, "finetune") == ["2", "1", "9", "2.0", "KiB", "1.50", "2.00"]
    assert row(lines, "all")[:3] == ["2", "1", str(len(plan.nodes) - 3)]
    assert lines[0] == f"haxby: {len(plan.nodes)} objects, 2 stored, 1 running, {len(plan.nodes) - 3} missing"
    assert len({len(line) for line in lines[2:13]}) == 1, "columns are aligned"


def test_reuse_counts_other_runs_once_and_shared_objects_once_per_cell_more(plan, store):
    put(store, of(plan, "betas")[0], seconds=3600.0, run="other")
    put(store, of(plan, "evaluate")[0], seconds=7200.0)
    lines = [re.sub(r"\s+", " ", line) for line in status.describe(plan, store)]
    assert "saved by reuse built for other runs 1 object 1.00 h, 1.00 GPU h" in lines
    assert " shared by cells 1 object 1.00 h, 1.00 GPU h" in lines


def test_running_job_shows_where_how_long_how_far(plan, store, monkeypatch):
    node = of(plan, "finetune")[0]
    work = store.work(node.stage, node.key)
    work.mkdir(parents=True)
    monkeypatch.setenv(REPORT_VARIABLE, str(work / REPORT_FILE))
    progress = Progress("finetune", 100, every_s=0.0)
    progress.advance(25, loss=3.21)
    time.sleep(0.1)
    with store.lock(node.stage, node.key) as lock:
        note = json.loads(lock.path.read_text())
        (line,) = [line for line in status.describe(plan, store) if os.uname().nodename in line]
        assert "25/100" not in line, "an attempt before this one has said it"
        lock.path.write_text(json.dumps(note | {"since": time.time() - 3700}))
        (line,) = [line for line in status.describe(plan, store) if os.uname().nodename in line]
        assert "for 1:01:40, finetune 25/100, loss 3.21, 0:00 left" in line
        assert node.names[0] in line
        lock.path.write_text(json.dumps(note))


def test_job_of_a_silent_host_is_said_to_be_silent_and_a_dead_one_left_out(plan, store):
    far, dead = of(plan, "finetune")[:2]
    (store.root / "finetune").mkdir(parents=True)
    lock = store.lock(far.stage, far.key).path
    lock.write_text(json.dumps({"token": "x", "host": "elsewhere", "boot": "", "pid": 1, "started": "1"}))
    os.utime(lock, (time.time() - 7200,) * 2)
    code = (
        "import os; from pathlib import Path; from mindeye2.locks import Lock; "
        f"Lock(Path({str(store.lock(dead.stage, dead.key).path)!r})).acquire(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    found = activity.building(store)
    assert found.keys() == {far.id}
    assert "no sign of life for 2:00:00" in str(found[far.id])


def test_stopped_job_shows_its_last_line_and_its_log(plan, store, tmp_path):
    node, other = of(plan, "finetune")[:2]
    log = tmp_path / "logs" / "finetune" / f"{node.key}.log"
    log.parent.mkdir(parents=True)
    log.write_text("step 1\n" * 20_000 + "mindeye2: error: the loss is nan\n\n")
    put(store, other)
    log.with_stem(other.key).write_text("finetune: done\n")
    lines = list(status.describe(plan, store))
    at = lines.index("stopped")
    assert lines[at + 1] == f"  finetune {called(node.names)}: mindeye2: error: the loss is nan"
    assert lines[at + 2] == f"    log: logs/finetune/{node.key}.log"
    assert lines[at + 3] == ""
    assert activity.failures(plan, store, since=0.0) == [
        f"failed: finetune {called(node.names)}: mindeye2: error: the loss is nan (log: logs/finetune/{node.key}.log)"
    ]
    assert activity.failures(plan, store, since=time.time() + 60) == []


@pytest.mark.parametrize(
    ("line", "killed"),
    [
        ("finetune: 63/400  0:10 spent, 0:54 left  loss 14.33", True),
        ("finetune 0123456789abcdef0123: building default/subj01/1sess/seed42", True),
        ("torch.OutOfMemoryError: CUDA out of memory.", False),
        ("finetune: stopped after step 63; run the same command again to go on", False),
    ],
)
def test_a_job_that_ends_at_work_is_said_to_be_killed(plan, tmp_path, line, killed):
    node = of(plan, "finetune")[0]
    log = tmp_path / "logs" / "finetune" / f"{node.key}.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{line}\n")
    (stop,) = activity.stopped([node])
    assert stop.line == (f"killed, without an error of its own, after: {line}" if killed else line)
    log.write_text(f"{line}\nfinetune {node.key}: done in 49.4 s\n")
    assert activity.stopped([node]) == [], "it was stored, and set aside since"


def test_objects_of_other_runs_count_into_the_disk_alone(plan, store):
    node = of(plan, "evaluate")[0]
    put_many(store, node, 10_000)
    *_, space = status.describe(plan, store)
    assert "9.8 KiB, of which 0 B of this run" in space


def test_why_names_states_reasons_and_what_is_waited_for(plan, store):
    cell = plan.cells[0]
    for node in plan.ordered():
        if node.stage in ("stimuli", "behav", "betas", "targets"):
            put(store, node)
    name = why.cell_name(cell)
    lines = list(why.describe(plan, store, name.rpartition("/")[0]))
    assert lines == list(why.describe(plan, store, name))
    at = next(number for number, line in enumerate(lines) if line.startswith("evaluate "))
    assert lines[at].split()[:3] == ["evaluate", cell.evaluate.key, "missing"]
    assert lines[at + 1].strip() == "because no evaluate is stored yet"
    assert lines[at + 2].strip().startswith("waits for reconstruct/")
    ready = lines.index(next(line for line in lines if line.startswith("finetune ")))
    assert "the next snakemake builds it" in lines[ready + 2]
    assert any("2026-01-01T00:00:00Z on here (cpu (x86_64)), 360.0 s, 100 B" in line for line in lines)
    assert lines[-1].startswith(f"{len(plan.below(cell.evaluate))} objects, ")


def test_why_takes_a_stage_of_a_cell_and_an_address(plan, store):
    name = why.cell_name(plan.cells[1])
    assert [node.id for node in why.find(plan, f"{name}/evaluate")] == [plan.cells[1].evaluate.id]
    assert [node.id for node in why.find(plan, plan.tables.id)] == [plan.tables.id]
    assert {node.stage for node in why.find(plan, f"{name}/finetune")} == {"finetune"}


@pytest.mark.parametrize("name", ["defautl/subj01/11sess", "default/subj01/11sess/seed42/pretrain", "nothing"])
def test_why_of_an_unknown_name_offers_others(plan, name):
    with pytest.raises(UserError, match="default/subj01/11sess") as caught:
        why.find(plan, name)
    assert "\n" not in str(caught.value)


def test_report_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(REPORT_VARIABLE, str(tmp_path / "gone" / REPORT_FILE))
    Progress("x", 1, every_s=0.0).advance()

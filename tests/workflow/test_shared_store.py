"""What the setting of a shared store does to the files that real jobs write."""

import grp
import json
import os
import shutil
import stat
from pathlib import Path


def test_jobs_write_what_the_group_can_read_and_nobody_else(checkout):
    store = Path(checkout.environment["MINDEYE2_STORE"])
    groups = [entry for entry in grp.getgrall() if entry.gr_gid in os.getgroups() or os.geteuid() == 0]
    group = next((entry for entry in groups if entry.gr_gid != os.getegid()), grp.getgrgid(os.getegid()))
    checkout.edit_config(store={"group": group.gr_name})
    assert {row["state"] for row in checkout.plan()} == {"stored"}, "the setting is in no key"
    (evaluate,) = store.glob("evaluate/?*")
    (tables,) = store.glob("tables/?*")
    shutil.rmtree(evaluate)
    shutil.rmtree(tables)
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    for path in (store, *store.rglob("*")):
        if not path.is_symlink():
            status = path.stat()
            assert status.st_gid == group.gr_gid, path
            wanted = {0o2770} if path.is_dir() else {0o440, 0o660}
            assert stat.S_IMODE(status.st_mode) in wanted, path
    assert stat.S_IMODE((evaluate / "manifest.json").stat().st_mode) == 0o440
    assert json.loads((evaluate / "manifest.json").read_text())["run"] == "micro"

    checkout.edit_config(store={"group": "nobody-has-this"})
    answer = checkout.snakemake("-n")
    assert answer.returncode == 1
    (line,) = [line for line in answer.stdout.splitlines() if "nobody-has-this" in line]
    assert line.startswith("mindeye2: error: store.group: there is no group nobody-has-this here")

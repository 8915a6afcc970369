# Paths and the plan. Only the main process plans: a job that re-parses this file (on a cluster) reads frozen
# specs alone, so a configuration edited meanwhile cannot reach it.
import json
import os
import sys
import time
from pathlib import Path

from mindeye2 import config as configuration
from mindeye2 import activity, garbage, nodes, permissions, plan, reproduce, specs, usage, views
from mindeye2.errors import UserError
from mindeye2.store import Store, write_atomically


def parsed_config():
    if config:
        return configuration.parse_config(config)
    return configuration.load_config(Path(workflow.basedir).parent / "config" / "paper.yaml")


def planned():
    """Plan the run, freeze its specs and make the stamps agree with the store."""
    permissions.prepare(STORE.root, CONFIG.store.group)
    write_atomically(CONFIG_FILE, reproduce.as_yaml(CONFIG))
    try:
        made = plan.make_plan(CONFIG)
    except UserError as error:
        # `snakemake weights` brings what may be missing; anything else asks for the tables and is refused there.
        return nodes.Plan(CONFIG, refusal=str(error))
    usage.check_quota(made, STORE)
    specs.freeze(made)
    views.freeze_view(made)
    specs.sync_stamps(made, STORE)
    return made


def frozen(stage, key):
    return json.loads(specs.frozen_file(stage, key).read_text())


def upstream(stage):
    """Input function of a stage: stamps of the objects that a planned object is made from."""

    def stamps(wildcards):
        inputs = frozen(stage, wildcards.key)["spec"]["inputs"]
        return [ancient(f".stamps/{name}") for names in inputs.values() for name in names]

    return stamps


def gpus(stage):
    """Resource function: one GPU, but none for the miniature."""

    def number(wildcards):
        return int(frozen(stage, wildcards.key)["size"] != "miniature")

    return number


def amount(stage, paper, *, light=None, miniature=None, each_session=0):
    """Resource function: MB or minutes for a job of its size, more for each session it trains on; times the attempt.

    A size that is not given is like the next larger one.
    """
    sizes = {"paper": paper, "light": light or paper, "miniature": miniature or light or paper}

    def asked(wildcards, attempt):
        planned = frozen(stage, wildcards.key)
        sessions = len(planned["spec"]["config"].get("train_sessions", ()))
        return attempt * (sizes[planned["size"]] + each_session * sessions)

    return asked


class Called:
    """``{called:betas KEY}`` in a rule's message: the names that people know a planned object by."""

    def __format__(self, address):
        return specs.called(frozen(*address.split())["names"])


called = Called()
CONFIG_FILE = plan.PLAN_FOLDER / "config.yaml"


def tables_stamp(wildcards):
    if PLAN.refusal:
        raise SystemExit(f"mindeye2: error: {PLAN.refusal}")
    return ancient(f".stamps/{PLAN.tables.id}")


def view_digest(wildcards):
    """Changes with any object of the run, so that the view is renewed and nothing else is."""
    return plan.plan_digest(PLAN)


try:
    CONFIG = parsed_config()
    STORE = Store(Path(CONFIG.paths.store).expanduser().resolve())
    RUN = CONFIG.run.name
    if workflow.is_main_process:
        STARTED = time.time()
        PLAN = planned()
except UserError as error:
    raise SystemExit(f"mindeye2: error: {error}") from None

# The rules `exec` the stage: a shell in between would die of a signal at once, and the stage with it, unsaved.
# Where things lie reaches the shell by the environment: in `params` a moved store would rerun every job.
os.environ["MINDEYE2_PYTHON"] = sys.executable
os.environ["MINDEYE2_STORE"] = str(STORE.root)


envvars:
    "MINDEYE2_PYTHON",
    "MINDEYE2_STORE",


wildcard_constraints:
    key="[0-9a-f]{20}",
    run=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


onstart:
    # A collection of garbage in another terminal must not take what this run is about to need.
    garbage.register_run(list(PLAN.nodes), STORE)


onsuccess:
    garbage.release_run(STORE)


onerror:
    garbage.release_run(STORE)
    # The failures of a long run are far apart and far up: once more, together, each with its log.
    print(*activity.failures(PLAN, STORE, since=STARTED), sep="\n", file=sys.stderr)

# Paths and the plan. Only the main process plans: a job that re-parses this file (on a cluster) reads frozen
# specs alone, so a configuration edited meanwhile cannot reach it.
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from mindeye2 import config as configuration
from mindeye2 import activity, garbage, nodes, permissions, plan, reproduce, specs, usage, views
from mindeye2.errors import UserError, refusal
from mindeye2.locks import Lock, holder, read_owner
from mindeye2.store import Store, write_atomically


def parsed_config():
    if config:
        said = configuration.from_text(dict(workflow.config_settings.config))
        return configuration.parse_config(configuration.merged(config, said))
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


@contextmanager
def told_in_one_line():
    """What a person is meant to read ends Snakemake without a traceback."""
    try:
        yield
    except UserError as error:
        raise SystemExit(f"mindeye2: error: {error}") from None
    except OSError as error:
        said = refusal(error)
        if said is None:
            raise
        raise SystemExit(f"mindeye2: error: {said}") from None


with told_in_one_line():
    CONFIG = parsed_config()
    STORE = Store(Path(CONFIG.paths.store).expanduser().resolve())
    RUN = CONFIG.run.name
    if workflow.is_main_process:
        PLAN = planned()
        # What has failed is told from the logs by their times, which a file server's clock gives.
        STARTED = CONFIG_FILE.stat().st_mtime
        CHECKOUT = Lock(plan.PLAN_FOLDER / "lock")

# The rules `exec` the stage: a shell in between would die of a signal at once, and the stage with it, unsaved.
# Where things lie reaches the shell by the environment: in `params` a moved store would rerun every job.
os.environ["MINDEYE2_PYTHON"] = sys.executable
os.environ["MINDEYE2_STORE"] = str(STORE.root)


envvars:
    "MINDEYE2_PYTHON",
    "MINDEYE2_STORE",


wildcard_constraints:
    key="[0-9a-f]{20}",


def begin():
    """Keep a second Snakemake out of this folder, and a collection of garbage off what this run is about to need.

    Snakemake's own lock (off in the profile) outlives a kill; this one is taken over where its owner is gone.
    """
    if not (CHECKOUT.acquire() or CHECKOUT.acquire()):
        owner = holder(read_owner(CHECKOUT.path) or {})
        raise UserError(
            f"{CHECKOUT.path}: {owner} runs the workflow in this folder; wait for it or use another checkout, "
            "or remove the file if that host is down"
        )
    garbage.register_run(RUN, list(PLAN.nodes), STORE)


onstart:
    with told_in_one_line():
        begin()


onsuccess:
    CHECKOUT.release()
    # A run of some targets is not the whole run: what it built waits for the rest.
    if views.shows(PLAN):
        garbage.release_run(RUN, STORE)


onerror:
    CHECKOUT.release()
    # The failures of a long run are far apart and far up: once more, together, each with its log.
    print(*activity.failures(PLAN, STORE, since=STARTED), sep="\n", file=sys.stderr)

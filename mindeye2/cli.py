"""User commands: what each reads, and what it prints."""

import argparse
import json
import os
import sys
from pathlib import Path

from mindeye2.errors import UserError, refusal
from mindeye2.identity import STAGES
from mindeye2.units import counted

DEFAULT_CONFIG = "config/paper.yaml"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mindeye2",
        description="Decode seen images from fMRI. The whole matrix is built by snakemake; these commands serve it.",
        epilog=f"Stages, run by the workflow: {', '.join(STAGES)}.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    simulate = commands.add_parser("simulate", help="write the miniature NSD that a configuration describes")
    _add_config(simulate)

    plan = commands.add_parser("plan", help="list the objects that a configuration needs and whether they are stored")
    _add_config(plan)
    plan.add_argument("--explain", action="store_true", help="say why each missing object is missing")
    plan.add_argument("--json", action="store_true", help="print one JSON array: stage, key, state, names")

    status = commands.add_parser("status", help="how far a run is, what works on it, what stopped, what it costs")
    _add_config(status)

    why = commands.add_parser("why", help="what one cell is made of, and what each missing object lacks")
    why.add_argument("name", metavar="NAME", help="VARIANT/subjNN/Nsess[/seedN][/STAGE], or STAGE/KEY")
    _add_config(why)

    reproduce = commands.add_parser("reproduce", help="plan a finished run again and say which keys differ and why")
    reproduce.add_argument("file", type=Path, metavar="FILE", help="its results/<run>/ro-crate-metadata.json")
    reproduce.add_argument("--out", type=Path, metavar="FILE", help="write its configuration, for --configfile")
    _add_assignments(reproduce)

    check = commands.add_parser("check-data", help="say which raw files are there, which are missing and how large")
    check.add_argument("root", nargs="?", metavar="ROOT", help="folder of the dataset (default: paths.dataset)")
    _add_config(check)

    weights = commands.add_parser("weights", help="the frozen networks that a configuration needs, and where they lie")
    actions = weights.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what is needed, what is there, how large the rest is, and its licence")
    fetching = actions.add_parser("fetch", help="download what is missing into paths.weights")
    fetching.add_argument("names", nargs="*", metavar="NETWORK", help="only these (default: all)")
    checking = actions.add_parser("verify", help="hash what is there against what was published or fetched")
    adopting = actions.add_parser("adopt", help="take a network's published files from where you have them")
    adopting.add_argument("network", metavar="NETWORK")
    adopting.add_argument("path", type=Path, metavar="PATH", help="a published file, or a folder with some")
    for action in (listing, fetching, checking, adopting):
        _add_config(action)

    gc = commands.add_parser("gc", help="delete the objects that no view (results/<run>) and no unfinished run needs")
    _add_config(gc)
    gc.add_argument("--dry-run", action="store_true", help="list them with their sizes, delete nothing")

    verify = commands.add_parser("verify", help="re-hash every stored object and set damaged ones aside")
    _add_config(verify)

    importing = commands.add_parser("import-weights", help="turn a released MindEye2 last.pth into a folder of ours")
    importing.add_argument("file", type=Path, metavar="FILE", help="last.pth")
    whose = importing.add_mutually_exclusive_group(required=True)
    whose.add_argument("--subject", type=int, metavar="N", help="whose model it is")
    whose.add_argument("--held-out", type=int, metavar="N", help="whom the pretraining left out")
    importing.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder")
    _add_config(importing, default=None, use="check the subjects and their voxels against its dataset")

    exporting = commands.add_parser("export-weights", help="write a model's folder as a released last.pth")
    exporting.add_argument("folder", type=Path, metavar="DIR", help="folder with model.safetensors and model.json")
    exporting.add_argument("--out", type=Path, required=True, metavar="FILE", help="new file")

    unclip = commands.add_parser("import-unclip", help="turn a released SDXL-unCLIP checkpoint into diffusers' folders")
    unclip.add_argument("file", type=Path, metavar="FILE", help="unclip6_epoch0_step110000.ckpt, or .safetensors")
    unclip.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder, gets unet and vae")
    for network in ("unet", "vae"):
        use = f"diffusers' config.json of another {network} than the released one's"
        unclip.add_argument(f"--{network}-config", type=Path, metavar="FILE", help=use)

    lock = commands.add_parser("lock", help="record the present code of stages in code.lock")
    how = lock.add_mutually_exclusive_group(required=True)
    how.add_argument("--same", nargs="+", metavar="STAGE", help="gives the same results as before (or: all)")
    how.add_argument("--bump", nargs="+", metavar="STAGE", help="gives other results: a new version (or: all)")

    view = commands.add_parser("view", help="link results/<run> to the stored objects (run by the workflow)")
    view.add_argument("digest")
    view.add_argument("--store", type=Path, required=True)

    for stage in STAGES:
        command = commands.add_parser(stage)
        command.add_argument("--spec", type=Path, required=True, metavar="FILE", help="frozen spec")
        command.add_argument("--store", type=Path, required=True, metavar="DIR")
        command.add_argument(
            "--stamp", type=Path, required=True, metavar="FILE", help="touched when the object is there"
        )
    return parser


def _add_config(
    command: argparse.ArgumentParser, default: str | None = DEFAULT_CONFIG, use: str = f"default: {DEFAULT_CONFIG}"
) -> None:
    command.add_argument("--config", default=default, metavar="FILE", help=use)
    _add_assignments(command)


def _add_assignments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="override one setting; the value is read as YAML",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Run one parsed command; returns the exit status."""
    if arguments.command in STAGES:
        from mindeye2.runner import leave_on_sigterm, run_stage

        # What a stage reads is on the disk; a library that asks the hub all the same fails here as on a compute node.
        os.environ["HF_HUB_OFFLINE"] = "1"
        leave_on_sigterm()
        run_stage(arguments.command, spec_file=arguments.spec, store_folder=arguments.store, stamp=arguments.stamp)
        return 0
    return COMMANDS[arguments.command](arguments)


def _config(arguments: argparse.Namespace):
    from mindeye2.config import load_config

    return load_config(arguments.config, arguments.set)


def _store(arguments: argparse.Namespace):
    from mindeye2.store import Store

    return Store(Path(_config(arguments).paths.store).expanduser())


def _simulate(arguments: argparse.Namespace) -> int:
    from mindeye2.demo.simulate import simulate

    config = _config(arguments)
    if config.simulate is None:
        raise UserError(
            f"{arguments.config}: has no simulate section; use a simulated configuration, such as config/demo.yaml"
        )
    written = simulate(config)
    print(f"{config.paths.dataset}: {'simulated NSD written' if written else 'nothing to do'}")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from mindeye2.explain import explain
    from mindeye2.plan import make_plan
    from mindeye2.specs import called
    from mindeye2.store import Store

    config = _config(arguments)
    plan, store = make_plan(config), Store(Path(config.paths.store).expanduser())
    missing = {node.id for node in plan.missing(store)}
    rows = [
        {
            "stage": node.stage,
            "key": node.key,
            "state": "missing" if node.id in missing else "stored",
            "names": node.names,
        }
        for node in plan.ordered()
    ]
    if arguments.explain:
        reasons = {node.id: reason for node, reason in explain(plan, store)}
        for row in rows:
            row["reason"] = reasons.get(f"{row['stage']}/{row['key']}", "")
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(f"{row['stage']:<12} {row['key']}  {row['state']:<8} {called(row['names'])}")
        if row.get("reason"):
            print(f"{'':<12} because {row['reason']}")
    print(f"{counted(len(rows), 'object')}, {len(rows) - len(missing)} stored, {len(missing)} to build")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from mindeye2.plan import make_plan
    from mindeye2.status import describe

    for line in describe(make_plan(_config(arguments)), _store(arguments)):
        print(line)
    return 0


def _why(arguments: argparse.Namespace) -> int:
    from mindeye2.plan import make_plan
    from mindeye2.why import describe

    for line in describe(make_plan(_config(arguments)), _store(arguments), arguments.name):
        print(line)
    return 0


def _reproduce(arguments: argparse.Namespace) -> int:
    from mindeye2.crate import read_crate
    from mindeye2.plan import make_plan
    from mindeye2.reproduce import as_yaml, compare, config_of, describe
    from mindeye2.store import write_atomically

    recorded = read_crate(arguments.file)
    config = config_of(recorded, arguments.set)
    if arguments.out:
        write_atomically(arguments.out, as_yaml(config))
        print(f"{arguments.out}: written")
    found = compare(make_plan(config), recorded)
    for line in describe(found, recorded):
        print(line)
    return 0 if found.equal else 1


def _check_data(arguments: argparse.Namespace) -> int:
    from mindeye2.check_data import check_data, describe

    config = _config(arguments)
    if arguments.root:
        paths = config.paths.model_copy(update={"dataset": arguments.root})
        config = config.model_copy(update={"paths": paths})
    findings = check_data(config)
    for line in describe(findings):
        print(line)
    return 0 if findings.complete else 1


def _weights(arguments: argparse.Namespace) -> int:
    from mindeye2 import weights

    config = _config(arguments)
    if arguments.action == "list":
        for line in weights.describe(config):
            print(line)
        return 0 if weights.complete(config) else 1
    if arguments.action == "verify":
        sound = True
        for line, as_it_should_be in weights.verify(config):
            print(line)
            sound &= as_it_should_be
        return 0 if sound else 1
    if arguments.action == "adopt":
        from mindeye2.landing import adopt

        print(adopt(config, arguments.network, arguments.path))
        return 0
    from mindeye2.fetch import fetch

    fetch(config, arguments.names)
    return 0


def _existing_store(arguments: argparse.Namespace):
    """UserError where there is none: a mistyped place must not look like a store without damage."""
    store = _store(arguments)
    if not store.root.is_dir():
        raise UserError(
            f"{store.root}: no such store; correct paths.store (or MINDEYE2_STORE), or run snakemake, which makes it"
        )
    return store


def _gc(arguments: argparse.Namespace) -> int:
    from mindeye2.garbage import collect, unfinished
    from mindeye2.units import show_bytes

    store = _existing_store(arguments)
    removed = collect(store, dry_run=arguments.dry_run)
    for path, size in removed:
        print(f"{path.parent.name}/{path.name}  {show_bytes(size)}")
    for root, run, checkout in unfinished(store):
        print(f"kept what the unfinished run {run} of {checkout} needs; remove {root} if it is given up")
    total = show_bytes(sum(size for _, size in removed))
    print(f"store {store.root}: {len(removed)} folders, {total} {'would be' if arguments.dry_run else 'were'} deleted")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from mindeye2.garbage import verify

    store = _existing_store(arguments)
    total = sum(1 for _ in store.objects())
    damaged = unread = 0
    for name, problem, aside in verify(store):
        damaged, unread = damaged + (aside is not None), unread + (aside is None)
        if aside is None:
            print(f"{name}: cannot be read ({problem}), left where it is; look again when the file system works")
        else:
            print(f"{name}: damaged ({problem}), set aside as {aside}; run snakemake again, which rebuilds it")
    unreadable = f", {unread} not readable" if unread else ""
    print(f"store {store.root}: {counted(total, 'object')}, {damaged} damaged{unreadable}")
    return 1 if damaged or unread else 0


def _import_weights(arguments: argparse.Namespace) -> int:
    from mindeye2.exchange import describe, import_weights

    model = import_weights(
        arguments.file,
        arguments.out,
        subject=arguments.subject,
        held_out=arguments.held_out,
        config=_config(arguments) if arguments.config else None,
    )
    print(f"{arguments.out}: {describe(model)}")
    return 0


def _export_weights(arguments: argparse.Namespace) -> int:
    from mindeye2.exchange import export_weights

    export_weights(arguments.folder, arguments.out)
    print(f"{arguments.out}: written")
    return 0


def _import_unclip(arguments: argparse.Namespace) -> int:
    from mindeye2.import_unclip import import_unclip

    found = import_unclip(
        arguments.file, arguments.out, unet_config=arguments.unet_config, vae_config=arguments.vae_config
    )
    print(f"{arguments.out}: {found}")
    return 0


def _lock(arguments: argparse.Namespace) -> int:
    from mindeye2.identity import update_lock

    stages = arguments.bump or arguments.same
    for line in update_lock(list(STAGES) if stages == ["all"] else stages, bump=bool(arguments.bump)):
        print(line)
    return 0


def _view(arguments: argparse.Namespace) -> int:
    from mindeye2.store import Store
    from mindeye2.views import write_view

    write_view(arguments.digest, Store(arguments.store))
    return 0


COMMANDS = {
    "simulate": _simulate,
    "plan": _plan,
    "status": _status,
    "why": _why,
    "reproduce": _reproduce,
    "check-data": _check_data,
    "weights": _weights,
    "gc": _gc,
    "verify": _verify,
    "import-weights": _import_weights,
    "export-weights": _export_weights,
    "import-unclip": _import_unclip,
    "lock": _lock,
    "view": _view,
}


def main(argv: list[str] | None = None) -> int:
    """Entry point: prints a UserError as one line and never a traceback for it."""
    arguments = build_parser().parse_args(argv)
    try:
        return execute(arguments)
    except UserError as error:
        print(f"mindeye2: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 141
    except OSError as error:
        said = refusal(error)
        if said is None:
            raise
        print(f"mindeye2: error: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        remedy = "goes on from the last checkpoint" if arguments.command in STAGES else "does what is left"
        print(f"mindeye2: interrupted; the same command {remedy}", file=sys.stderr)
        return 130

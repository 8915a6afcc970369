"""A finished run as an RO-Crate 1.1: what each object was made from, when, and by which code.

The crate is small: configuration, specs, versions and hashes. No path, host or user of the machine is in it, and of
the data no more than names, sizes and hashes of files. ``mindeye2 reproduce`` plans the run from it again.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindeye2.config import Config, drop_places
from mindeye2.errors import UserError
from mindeye2.store import KEY, canonical_json, spec_key

FILE = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/crate/1.1"
# The context of version 1.1 is older than schema.org's term for a hash.
CONTEXT = [f"{PROFILE}/context", {"sha256": "http://schema.org/sha256"}]
CONFIGURATION = "#configuration"
FORMATS = {
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".tex": "application/x-tex",
    ".html": "text/html",
    ".bib": "application/x-bibtex",
}
DESCRIPTIONS = {
    "matrix.csv": "One row for each subject, number of sessions, variant, seed and metric, with its interval",
    "matrix.md": "The matrix of subjects and sessions, to read",
    "matrix.tex": "The matrix of subjects and sessions, for LaTeX",
    "report.html": "Report with tables, figures and, where the run's settings allow, pictures",
    "methods.md": "The methods with the run's own settings and numbers, and what they cite",
    "methods.bib": "What the methods cite",
}
Entity = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One object of a run: its planned spec and names, and its manifest where the store still has it."""

    id: str
    names: Sequence[str]
    spec: Mapping[str, Any]
    manifest: Mapping[str, Any] | None


@dataclass(frozen=True)
class Recorded:
    """What a crate says of a run: its configuration, the spec of each object, the commits that built them."""

    config: dict[str, Any]
    specs: dict[str, dict[str, Any]]
    commits: list[str]


def portable(config: Config) -> dict[str, Any]:
    """Every setting but the paths and the store's, from which the same keys are planned elsewhere.

    Unkeyed settings are in it, since some say what to look for; those that name a place on this machine are not.
    """
    content = config.model_dump(mode="json", exclude={"paths", "store"})
    variants = content["matrix"]["variants"]
    for name, overlay in config.matrix.variants.items():
        variants[name] = overlay.model_dump(mode="json", exclude_defaults=True)
    for sections in (content, *variants.values()):
        drop_places(sections)
    return content


def build(
    *, run: str, config: Mapping[str, Any], records: Sequence[Record], files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The crate's JSON-LD.

    ``config`` is from ``portable``; ``files`` maps the names of the run's own files to ``{"size": …, "sha256": …}``.
    """
    built = [record for record in records if record.manifest is not None]
    actions = [_action(record) for record in built]
    finished = max((record.manifest["end"] for record in built), default="")
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{run}: images decoded from fMRI",
        "description": f"Tables, report and provenance of the mindeye2 run {run}. The text of each object is the "
        "specification that it was built from; its identifier is the first 20 hex digits of the text's sha256.",
        "datePublished": finished,
        "license": {"@id": "#terms"},
        "hasPart": _references(files),
        "mentions": _references([CONFIGURATION, *(action["@id"] for action in actions)]),
    }
    terms = {
        "@id": "#terms",
        "@type": "CreativeWork",
        "name": "Terms of use",
        "description": "Those of whoever made the run and of the data that it read. This file itself holds no "
        "responses and no pictures.",
    }
    configuration = {
        "@id": CONFIGURATION,
        "@type": "CreativeWork",
        "name": "Configuration, without the paths",
        "encodingFormat": "application/json",
        "text": canonical_json(config),
    }
    descriptor = {
        "@id": FILE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": PROFILE},
        "about": {"@id": "./"},
    }
    graph = [descriptor, root, terms, configuration]
    graph += [_file(name, files[name]) for name in files]
    graph += [_object(record) for record in records]
    graph += actions
    graph += _software(built)
    return {"@context": CONTEXT, "@graph": graph}


def _references(names: Iterable[str]) -> Entity | list[Entity]:
    """References to entities; one alone stands without a list, as RO-Crate's recommendation for JSON-LD has it."""
    found = [{"@id": name} for name in names]
    return found[0] if len(found) == 1 else found


def _file(name: str, content: Mapping[str, Any]) -> Entity:
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "description": DESCRIPTIONS[name],
        "encodingFormat": FORMATS[Path(name).suffix],
        "contentSize": str(content["size"]),
        "sha256": content["sha256"],
    }


def _object(record: Record) -> Entity:
    stage, _, key = record.id.partition("/")
    return {
        "@id": f"#{record.id}",
        "@type": "CreativeWork",
        "name": f"{stage}: {', '.join(record.names)}",
        "identifier": key,
        "isBasedOn": _references(_inputs(record)),
        "encodingFormat": "application/json",
        "text": canonical_json(record.spec),
    }


def _inputs(record: Record) -> list[str]:
    return sorted({f"#{name}" for names in record.spec["inputs"].values() for name in names})


def _action(record: Record) -> Entity:
    manifest = record.manifest
    return {
        "@id": f"#build/{record.id}",
        "@type": "CreateAction",
        "name": f"mindeye2 {manifest['stage']}",
        "description": f"{manifest['seconds']} s on {manifest['device']}, digest of the code {manifest['code']}",
        "startTime": manifest["start"],
        "endTime": manifest["end"],
        "instrument": {"@id": _program(manifest)},
        "object": _references(_inputs(record)),
        "result": {"@id": f"#{record.id}"},
    }


def _program(manifest: Mapping[str, Any]) -> str:
    return f"#mindeye2-{manifest['git'] or 'without-commit'}"


def _software(built: Sequence[Record]) -> list[Entity]:
    """mindeye2 at each commit that built something, and each version of a library that it ran with."""
    programs: dict[str, Entity] = {}
    libraries: dict[str, Entity] = {}
    for record in built:
        manifest = record.manifest
        program = programs.setdefault(
            _program(manifest),
            {"@id": _program(manifest), "@type": "SoftwareApplication", "name": "mindeye2", "softwareRequirements": []},
        )
        if manifest["git"]:
            program["softwareVersion"] = manifest["git"]
        for package, version in manifest["versions"].items():
            name = f"#{package}-{version}"
            libraries[name] = {
                "@id": name,
                "@type": "SoftwareApplication",
                "name": package,
                "softwareVersion": version,
            }
            if {"@id": name} not in program["softwareRequirements"]:
                program["softwareRequirements"].append({"@id": name})
    return [*programs.values(), *libraries.values()]


def read_crate(path: Path) -> Recorded:
    """The run that a crate describes; UserError where it is none of ours, or was edited."""
    try:
        entities = {entity["@id"]: entity for entity in json.loads(path.read_text(encoding="utf-8"))["@graph"]}
        config = json.loads(entities[CONFIGURATION]["text"])
        specs = {
            name[1:]: json.loads(entity["text"])
            for name, entity in entities.items()
            if KEY.fullmatch(str(entity.get("identifier")))
        }
        programs = [entity for entity in entities.values() if entity.get("name") == "mindeye2"]
        commits = [program["softwareVersion"] for program in programs if "softwareVersion" in program]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give the {FILE} of a finished run, results/<run>/{FILE}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: no crate of a mindeye2 run ({type(error).__name__}: {error}); give results/<run>/{FILE}"
        ) from None
    for name, spec in specs.items():
        if name.partition("/")[2] != spec_key(spec):
            raise UserError(f"{path}: the text of {name} does not give its key, so it was edited; get the file again")
    return Recorded(config, specs, commits)

"""Plan a finished run again, on this machine, and say where its objects would be others and why."""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from mindeye2.config import Config, parse_config, with_assignments
from mindeye2.crate import Recorded
from mindeye2.explain import differences
from mindeye2.nodes import Node, Plan
from mindeye2.specs import called
from mindeye2.units import counted


@dataclass(frozen=True)
class Comparison:
    """Planned objects against recorded ones; equal keys are equal content."""

    same: list[Node]
    others: list[tuple[Node, str]]
    """Nodes that the recorded run does not have, each with what sets it apart from the nearest that it has."""
    unplanned: list[str]
    """``stage/key`` of recorded objects that are not planned here."""

    @property
    def equal(self) -> bool:
        return not self.others and not self.unplanned


def config_of(recorded: Recorded, assignments: list[str]) -> Config:
    """The recorded configuration with this machine's paths: defaults, ``--set paths.…`` and MINDEYE2_* variables.

    Where things lie, and who may read them, is not for a file from elsewhere to say.
    """
    content = {name: section for name, section in recorded.config.items() if name not in ("paths", "store")}
    return parse_config(with_assignments(content, assignments))


def compare(plan: Plan, recorded: Recorded) -> Comparison:
    same = [node for node in plan.ordered() if node.id in recorded.specs]
    unplanned = [name for name in recorded.specs if name not in plan.nodes]
    others = []
    for node in plan.ordered():
        if node.id not in recorded.specs:
            stage = [recorded.specs[name] for name in unplanned if name.startswith(f"{node.stage}/")]
            phrases = [differences(node.spec, spec, kept="recorded") for spec in stage]
            others.append((node, _reason(min(phrases, key=len, default=None), node.stage)))
    return Comparison(same, others, unplanned)


def _reason(phrases: list[str] | None, stage: str) -> str:
    if phrases is None:
        return f"the run has no {stage} left to compare with"
    return "; ".join(phrases) or "its spec is of another format"


def describe(found: Comparison, recorded: Recorded) -> Iterator[str]:
    """What ``mindeye2 reproduce`` prints: every object that differs with its reason, then how many there are."""
    for node, reason in found.others:
        yield f"{node.stage:<12} {node.key}  {called(node.names)}"
        yield f"{'':<12} because {reason}"
    if any("its code is" in reason for _, reason in found.others):
        yield f"the run was built by commit {', '.join(recorded.commits) or 'unknown'}; check it out for the same code"
    total = counted(len(recorded.specs), "object")
    yield (
        f"{total} in the run, {len(found.same)} planned with the same key, {len(found.others)} with another, "
        f"{max(len(found.unplanned) - len(found.others), 0)} not planned"
    )


def as_yaml(config: Config) -> str:
    """The configuration, this machine's paths included, as ``snakemake --configfile`` reads it."""
    content = config.model_dump(mode="json")
    for name, overlay in config.matrix.variants.items():
        content["matrix"]["variants"][name] = overlay.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)

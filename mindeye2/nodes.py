"""The objects that a configuration needs, as a graph: what each is made from, and which cell of the matrix it is for.

Each object is a node whose spec ``{format, stage, config, code, inputs, sources}`` gives its key. Equal nodes
of different variants merge by themselves.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mindeye2.config import Config
from mindeye2.identity import STAGES, code_label
from mindeye2.store import Store, spec_key

FORMAT = 1


@dataclass(frozen=True)
class Node:
    """One object to be: its spec, its address and the names people know it by."""

    stage: str
    key: str
    spec: dict[str, Any]
    names: list[str] = field(default_factory=list)
    networks: dict[str, Path] = field(default_factory=dict)
    """Where networks lie that may be absent, or lie elsewhere than the rest: for the job, not for the key."""

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.key}"


@dataclass
class Cell:
    """One cell of the matrix: the nodes behind it."""

    variant: str
    subject: int
    sessions: int
    seed: int
    pretrain: Node | None
    unclip: Node | None
    finetune: list[Node]
    reconstruct: list[Node]
    refine: list[Node]
    evaluate: Node


@dataclass
class Plan:
    config: Config
    nodes: dict[str, Node] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    tables: Node | None = None
    refusal: str = ""
    """Why there is no plan; it has no node then."""

    def add(
        self,
        stage: str,
        name: str,
        config: dict[str, Any],
        inputs: dict[str, Node | list[Node] | None] | None = None,
        sources: dict[str, dict] | None = None,
        networks: dict[str, Path] | None = None,
    ) -> Node:
        """The node of that content; an equal one that is already there gets one more name."""
        roles = {
            role: [node.id for node in (nodes if isinstance(nodes, list) else [nodes])]
            for role, nodes in (inputs or {}).items()
            if nodes is not None and nodes != []
        }
        spec = {
            "format": FORMAT,
            "stage": stage,
            "config": config,
            "code": code_label(stage),
            "inputs": roles,
            "sources": sources or {},
        }
        key = spec_key(spec)
        node = self.nodes.setdefault(f"{stage}/{key}", Node(stage, key, spec, [], networks or {}))
        if name not in node.names:
            node.names.append(name)
        return node

    def ordered(self) -> list[Node]:
        """Nodes in the order in which data flows."""
        return sorted(self.nodes.values(), key=lambda node: STAGES.index(node.stage))

    def below(self, node: Node) -> set[str]:
        """``stage/key`` of every object that a node rests on, its own included."""
        found, waiting = set(), [node.id]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [below for names in self.nodes[name].spec["inputs"].values() for below in names]
        return found

    def missing(self, store: Store) -> list[Node]:
        stored = {stage: store.keys(stage) for stage in STAGES}
        return [node for node in self.ordered() if node.key not in stored[node.stage]]

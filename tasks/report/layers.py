"""A found header as a layered graph: what reads what, and where each part stands in a picture."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import networkx as nx

from models.header.space import Architecture, loose_ends

INPUTS, END = (0, 1), -1
Places = dict[Hashable, tuple[float, float]]


def graph_of(architecture: Architecture) -> Any:
    """Inputs 0 and 1, blocks 2 and on, :data:`END`; an operation is a node of its own, with a
    ``label``, between what it reads and its block."""
    graph = nx.DiGraph()
    graph.add_nodes_from((*INPUTS, END))
    for node, block in enumerate(architecture, 2):
        for side, (source, name) in enumerate(
            ((block.input1, block.op1), (block.input2, block.op2))
        ):
            graph.add_node((node, side), label=name)
            nx.add_path(graph, (source, (node, side), node))
    graph.add_edges_from((end, END) for end in loose_ends(architecture))
    return graph


def layered(graph: Any) -> tuple[Places, list[list[Hashable]]]:
    """Where nodes stand, left to right, each as late as what reads it allows; and the nodes of each
    edge's way. A way that passes layers has a place of its own in each: it goes behind nothing."""
    generations = list(nx.topological_generations(graph.reverse()))[::-1]
    layers: dict[int, list[Hashable]] = {at: [] for at in range(len(generations))}
    layer_of = {n: at for at, nodes in enumerate(generations) for n in nodes}
    layer_of |= dict.fromkeys(INPUTS, 0)
    ways = [
        [u, *((u, v, at) for at in range(layer_of[u] + 1, layer_of[v])), v] for u, v in graph.edges
    ]
    wide = nx.DiGraph()
    wide.add_nodes_from(graph)
    for way in ways:
        nx.add_path(wide, way)
        layer_of |= {n: layer_of[way[0]] + i for i, n in enumerate(way)}
    for node in wide:
        layers[layer_of[node]].append(node)
    height: dict[Hashable, float] = {}
    for nodes in layers.values():  # a node stands where what it reads stands, as far as it can
        before = {n: [height[p] for p in wide.predecessors(n)] for n in nodes}
        nodes.sort(key=lambda n: sum(before[n]) / len(before[n]) if before[n] else 0.0)
        height |= {n: i - (len(nodes) - 1) / 2 for i, n in enumerate(nodes)}
    places = nx.multipartite_layout(wide, subset_key=layers)
    return {n: (float(x), float(-y)) for n, (x, y) in places.items()}, ways

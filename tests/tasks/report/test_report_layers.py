"""The picture of a header: whatever was found, nothing in it hides something else."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.header.space import Space, loose_ends
from tasks.report.layers import END, INPUTS, graph_of, layered


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_parts_stand_apart_and_are_read_from_left_to_right(blocks: int, seed: int) -> None:
    architecture = Space(blocks).sample(torch.Generator().manual_seed(seed))
    graph = graph_of(architecture)
    places, ways = layered(graph)
    assert set(graph) <= set(places)
    assert len({(round(x, 6), round(y, 6)) for x, y in places.values()}) == len(places)
    assert {(way[0], way[-1]) for way in ways} == set(graph.edges)
    for way in ways:
        across = [places[node][0] for node in way]
        assert across == sorted(set(across))
        assert not set(way[1:-1]) & set(graph), "a line would run behind a box"
    assert len({places[node][0] for node in INPUTS}) == 1


def test_a_block_reads_its_inputs_through_its_operations() -> None:
    architecture = Space(2).decode([0, 1, 0, 3, 2, 2, 1, 6])
    graph = graph_of(architecture)
    read = {(u, graph.nodes[op]["label"]) for op in graph.predecessors(3) for u in graph.pred[op]}
    assert read == {(2, "conv3"), (2, "maxpool")}
    assert list(graph.predecessors(END)) == loose_ends(architecture) == [3]

"""The compiled walk through an HNSW graph: Algorithms 1 to 5 of Malkov and Yashunin 2018 (arXiv:1603.09320)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray


class Graph(NamedTuple):
    """The arrays of a graph of n nodes. Links are kept in rows of fixed length, so that finding a node's neighbours needs no pointer."""

    vectors: NDArray[np.float32]  # (capacity, dim)
    base: NDArray[np.int32]  # (capacity, 2M) neighbours in layer 0
    base_degree: NDArray[np.int32]  # (capacity,) how many of them are in use
    upper: NDArray[np.int32]  # (slots, M) neighbours in layers 1 and up
    upper_degree: NDArray[np.int32]  # (slots,)
    upper_slot: NDArray[np.int64]  # (capacity,) slot of the node's layer 1; layer 2 is in the next one
    l2: bool  # squared distance; else the negative inner product


class Scratch(NamedTuple):
    """Working memory of one search; each thread has its own."""

    visited: NDArray[np.int32]  # (capacity,) the number of the last search that saw the node
    searches: NDArray[np.int32]  # (1,) number of the search under way
    fresh: NDArray[np.int32]  # (2M,) neighbours that it sees for the first time
    distances: NDArray[np.float32]  # (ef,) the nearest nodes so far, nearest first …
    nodes: NDArray[np.int32]  # (ef,)
    expanded: NDArray[np.bool_]  # (ef,) … and whether their neighbours have been looked at
    evaluations: NDArray[np.int64]  # (1,) distances computed since the start


def scratch(capacity: int, ef: int, M: int) -> Scratch:
    return Scratch(np.zeros(capacity, np.int32), np.zeros(1, np.int32), np.empty(2 * M, np.int32), np.empty(ef, np.float32),
                   np.empty(ef, np.int32), np.empty(ef, np.bool_), np.zeros(1, np.int64))


@intrinsic
def _prefetch(_, matrix, row):
    """Ask for the start of a row before it is needed: nodes lie all over memory, and waiting for them is most of a search's time."""

    def emit(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        row = builder.sext(arguments[1], context.get_value_type(types.intp))
        zero = context.get_constant(types.intp, 0)
        place = cgutils.get_item_pointer(context, builder, signature.args[0], array, [row, zero], wraparound=False)
        pointer, flag = cgutils.voidptr_t, cgutils.int32_t
        function = cgutils.get_or_insert_function(
            builder.module, cgutils.ir.FunctionType(cgutils.ir.VoidType(), [pointer, flag, flag, flag]), "llvm.prefetch.p0")
        address = builder.bitcast(place, pointer)
        for line in range(4):  # the processor fetches what follows by itself
            ahead = builder.gep(address, [cgutils.int32_t(64 * line)])
            builder.call(function, [ahead, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(matrix, row), emit


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def distance(x, y, l2):
    """Squared L2 distance, or the inner product with its sign turned so that less is nearer."""
    total = np.float32(0.0)
    if l2:
        for d in range(len(x)):
            total += (x[d] - y[d]) * (x[d] - y[d])
    else:
        for d in range(len(x)):
            total -= x[d] * y[d]
    return total


@njit(nogil=True, cache=True)
def links(graph, node, level):
    """The neighbours of a node in a layer, as a view."""
    if level == 0:
        return graph.base[node, : graph.base_degree[node]]
    slot = graph.upper_slot[node] + level - 1
    return graph.upper[slot, : graph.upper_degree[slot]]


@njit(nogil=True, cache=True)
def _insert_sorted(work, size, ef, far, node):
    """Put a node into the sorted list of the ef nearest; returns the new size and the node's place."""
    place = size if size < ef else ef - 1
    size = place + 1
    while place > 0 and work.distances[place - 1] > far:
        work.distances[place] = work.distances[place - 1]
        work.nodes[place] = work.nodes[place - 1]
        work.expanded[place] = work.expanded[place - 1]
        place -= 1
    work.distances[place] = far
    work.nodes[place] = node
    work.expanded[place] = False
    return size, place


@njit(nogil=True, cache=True)
def search_layer(graph, query, entry, ef, level, work, path):
    """Algorithm 2: the `ef` nearest nodes of a layer, found by always expanding the nearest node not yet expanded.

    The paper keeps candidates and results in two heaps. One sorted list serves as both: a candidate that drops out of the ef nearest would
    end the paper's search, so the search ends when every node in the list has been expanded. Returns their number, the results being in
    `work`, and the number of expanded nodes, written to `path` as far as it has room.
    """
    work.searches[0] += 1
    search = work.searches[0]
    work.visited[entry] = search
    work.evaluations[0] += 1
    size, _ = _insert_sorted(work, 0, ef, distance(query, graph.vectors[entry], graph.l2), entry)
    hops, nearest = 0, 0  # all nodes before `nearest` are expanded
    while nearest < size:
        node = work.nodes[nearest]
        work.expanded[nearest] = True
        if hops < len(path):
            path[hops] = node
        hops += 1
        fresh = 0
        for neighbor in links(graph, node, level):
            if work.visited[neighbor] != search:
                work.visited[neighbor] = search
                work.fresh[fresh] = neighbor
                fresh += 1
                _prefetch(graph.vectors, neighbor)
        work.evaluations[0] += fresh
        for i in range(fresh):
            far = distance(query, graph.vectors[work.fresh[i]], graph.l2)
            if size < ef or far < work.distances[size - 1]:
                size, place = _insert_sorted(work, size, ef, far, work.fresh[i])
                nearest = min(nearest, place)
        while nearest < size and work.expanded[nearest]:
            nearest += 1
    return size, hops


@njit(nogil=True, cache=True)
def select_neighbors(graph, nodes, distances, M, chosen):
    """Algorithm 4: of nodes sorted by their distance to a point, keep up to M that lie in different directions.

    A node is passed over when it is nearer to one already kept than to the point: the way to it leads through that neighbour. As in
    hnswlib, nodes passed over are not used to fill up. Writes to `chosen` and returns how many were kept.
    """
    kept = 0
    for i in range(len(nodes)):
        if kept == M:
            break
        apart = True
        for j in range(kept):
            if distance(graph.vectors[nodes[i]], graph.vectors[chosen[j]], graph.l2) < distances[i]:
                apart = False
                break
        if apart:
            chosen[kept] = nodes[i]
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def _link_back(graph, node, neighbor, level):
    """Let `neighbor` link to `node`, too; where its row is full, choose anew among its neighbours and the node."""
    if level == 0:
        row, degree, slot = graph.base[neighbor], graph.base_degree, neighbor
    else:
        slot = graph.upper_slot[neighbor] + level - 1
        row, degree = graph.upper[slot], graph.upper_degree
    if degree[slot] < len(row):
        row[degree[slot]] = node
        degree[slot] += 1
        return
    nodes = np.empty(len(row) + 1, np.int32)
    nodes[:-1], nodes[-1] = row, node
    far = np.empty(len(nodes), np.float32)
    for i in range(len(nodes)):
        far[i] = distance(graph.vectors[neighbor], graph.vectors[nodes[i]], graph.l2)
    order = np.argsort(far)
    degree[slot] = select_neighbors(graph, nodes[order], far[order], len(row), row)


@njit(nogil=True, cache=True)
def insert(graph, node, level, entry, top, ef_construction, work):
    """Algorithm 1: link a node, whose vector is in place, into layers `level` … 0 of the graph entered at `entry` in layer `top`."""
    M = graph.upper.shape[1]
    query, no_path = graph.vectors[node], np.empty(0, np.int32)
    for layer in range(top, level, -1):
        search_layer(graph, query, entry, 1, layer, work, no_path)
        entry = work.nodes[0]
    for layer in range(min(top, level), -1, -1):
        size, _ = search_layer(graph, query, entry, ef_construction, layer, work, no_path)
        entry = work.nodes[0]
        row, degree, slot = graph.base[node], graph.base_degree, np.int64(node)
        if layer > 0:
            slot = graph.upper_slot[node] + layer - 1
            row, degree = graph.upper[slot], graph.upper_degree
        degree[slot] = select_neighbors(graph, work.nodes[:size], work.distances[:size], M, row)
        for neighbor in row[: degree[slot]]:
            _link_back(graph, node, neighbor, layer)


@njit(nogil=True, cache=True)
def insert_all(graph, levels, first, last, entry, top, ef_construction, work):
    """Insert nodes first … last, in order; returns the entry point and the top layer afterwards."""
    for node in range(first, last):
        if node > 0:
            insert(graph, node, levels[node], entry, top, ef_construction, work)
        if node == 0 or levels[node] > top:
            entry, top = node, levels[node]
    return entry, top


@njit(nogil=True, cache=True)
def search(graph, queries, entry, top, ef, distances, nodes, work):
    """Algorithm 5 for each query: walk down greedily, then look around in layer 0 with a list of ef.

    Writes the nearest to distances, nodes (n_queries, k), k <= ef; what is not found stays as it is.
    """
    no_path = np.empty(0, np.int32)
    for q in range(len(queries)):
        start = entry
        for layer in range(top, 0, -1):
            search_layer(graph, queries[q], start, 1, layer, work, no_path)
            start = work.nodes[0]
        size, _ = search_layer(graph, queries[q], start, ef, 0, work, no_path)
        for i in range(min(size, distances.shape[1])):
            distances[q, i] = work.distances[i]
            nodes[q, i] = work.nodes[i]

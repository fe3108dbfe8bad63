"""Order, cycles and reachability of a set of links. Pure; no recursion, so depth is no limit."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable, Sequence


def topological_order(ids: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Sources before targets; of the nodes that could come next, the first one in ``ids`` does.

    Edges are (source, target) between members of ``ids``. The result lacks what is in a cycle or
    behind one.
    """
    rank = {node: i for i, node in enumerate(ids)}
    targets: dict[str, list[str]] = {node: [] for node in ids}
    waiting_for = dict.fromkeys(ids, 0)
    for source, target in edges:
        targets[source].append(target)
        waiting_for[target] += 1
    ready = [rank[node] for node in ids if waiting_for[node] == 0]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        node = ids[heapq.heappop(ready)]
        order.append(node)
        for target in targets[node]:
            waiting_for[target] -= 1
            if waiting_for[target] == 0:
                heapq.heappush(ready, rank[target])
    return order


def find_cycles(ids: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Cycles that share no node, each in the direction of its links and from the node on that
    comes first in ``ids``. Empty: there is none.

    Nodes that wait for nothing are peeled off; what is left then holds a cycle upstream of any of
    its nodes. That cycle is noted, taken out, and the peeling goes on.
    """
    rank = {node: i for i, node in enumerate(ids)}
    sources: dict[str, list[str]] = {node: [] for node in ids}
    targets: dict[str, list[str]] = {node: [] for node in ids}
    for source, target in edges:
        sources[target].append(source)
        targets[source].append(target)
    waiting_for = {node: len(found) for node, found in sources.items()}
    left = dict.fromkeys(ids)
    cycles: list[list[str]] = []
    peel = [node for node in ids if waiting_for[node] == 0]
    while left:
        while peel:
            node = peel.pop()
            if node not in left:
                continue
            del left[node]
            for target in targets[node]:
                waiting_for[target] -= 1
                if waiting_for[target] == 0:
                    peel.append(target)
        if left:
            cycle = _walk_up(next(iter(left)), sources, left)
            first = cycle.index(min(cycle, key=rank.__getitem__))
            cycles.append(cycle[first:] + cycle[:first])
            peel.extend(cycle)
    return cycles


def _walk_up(start: str, sources: dict[str, list[str]], left: Container[str]) -> list[str]:
    seen: dict[str, int] = {}
    path: list[str] = []
    node = start
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        node = next(source for source in sources[node] if source in left)
    return path[seen[node] :][::-1]


def ancestors(roots: Iterable[str], sources: dict[str, list[str]]) -> set[str]:
    """The roots and everything they depend on; ``sources``: node -> the nodes it takes from."""
    found: set[str] = set()
    todo = list(roots)
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo.extend(sources.get(node, ()))
    return found

"""Order among steps: a stable order that respects `needs`, the cycle that forbids one, the longest chain.

Pure functions over plain mappings, shared by the library (ids as written) and the plan (ids made unique).
"""

from collections.abc import Mapping, Sequence


def in_order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Every id after all it needs, otherwise as listed. What is in a cycle, or after one, is left out.

    Needs that are no ids themselves are ignored.
    """
    waiting = {step: {need for need in wanted if need in needs} for step, wanted in needs.items()}
    followers: dict[str, list[str]] = {step: [] for step in needs}
    for step, wanted in waiting.items():
        for need in wanted:
            followers[need].append(step)
    position = {step: index for index, step in enumerate(needs)}
    ready = [step for step, wanted in waiting.items() if not wanted]
    ordered: list[str] = []
    # Level by level, each level as listed: the numbers people see then grow along every chain.
    while ready:
        ordered.extend(ready)
        freed = []
        for done in ready:
            for step in followers[done]:
                waiting[step].discard(done)
                if not waiting[step]:
                    freed.append(step)
        ready = sorted(freed, key=position.__getitem__)
    return ordered


def cycle_in(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The ids of one cycle, each needing the next one and the last the first; empty when there is none."""
    ordered = set(in_order(needs))
    left = {
        step: [need for need in wanted if need in needs and need not in ordered]
        for step, wanted in needs.items()
        if step not in ordered
    }
    path: list[str] = []
    # Everything that is left needs something that is left: walking on must come back.
    here = next(iter(left), None)
    while here is not None and here not in path:
        path.append(here)
        here = left[here][0]
    return path[path.index(here) :] if here is not None else []


def longest_chain(needs: Mapping[str, Sequence[str]], weight: Mapping[str, float]) -> list[str]:
    """The chain of ids, in order, whose weights sum up to the most. `needs` must be free of cycles."""
    best: dict[str, tuple[float, str | None]] = {}
    for step in in_order(needs):
        before = [need for need in needs[step] if need in best]
        longest = max(before, key=lambda need: best[need][0], default=None)
        best[step] = (weight[step] + (best[longest][0] if longest is not None else 0.0), longest)
    chain: list[str] = []
    here = max(best, key=lambda step: best[step][0], default=None)
    while here is not None:
        chain.append(here)
        here = best[here][1]
    return chain[::-1]

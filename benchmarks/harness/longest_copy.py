"""The longest run of characters that a sample has verbatim from a long text.

A suffix automaton of the samples (Blumer et al., 1985, Theoretical Computer Science 40:31-55), through which the text
passes once: exact for runs of any length, in time linear in the text and in memory that does not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from charlm.simd import compiled

Integers = npt.NDArray[np.int32]

# Characters of samples in one automaton, and of the text at a time: what that takes stays below some 100 MB.
AT_ONCE = 2**15
PIECE = 2**20


def longest_copies(samples: Sequence[str], text: str) -> list[int]:
    """For each sample the length of the longest run of its characters that `text` holds."""
    found: list[int] = []
    batch: list[str] = []
    for sample in samples:
        if batch and sum(map(len, batch)) + len(sample) > AT_ONCE:
            found += _of_batch(batch, text)
            batch = []
        batch.append(sample)
    return found + _of_batch(batch, text)


def _of_batch(samples: list[str], text: str) -> list[int]:
    lengths = np.array([len(sample) for sample in samples], dtype=np.int64)
    joined = _code_points("".join(samples))
    known, codes = np.unique(joined, return_inverse=True)
    apart = len(known)  # a symbol that the text never has, behind every sample
    ends = np.cumsum(lengths)
    codes = np.insert(codes, ends, apart).astype(np.int32)
    after = np.full((2 * len(codes) + 1, apart + 1), -1, dtype=np.int32)
    link, depth = np.full(len(after), -1, dtype=np.int32), np.zeros(len(after), dtype=np.int32)
    state_of = np.zeros(len(codes), dtype=np.int32)
    states = build(codes, after, link, depth, state_of)
    best = np.zeros(states, dtype=np.int32)
    standing = np.zeros(2, dtype=np.int64)
    for start in range(0, len(text), PIECE):
        points = _code_points(text[start : start + PIECE])
        place = np.searchsorted(known, points)
        there = place < apart
        there[there] = known[place[there]] == points[there]
        pass_through(np.where(there, place, -1), after, link, depth, best, standing)
    reach = spread(link, depth, np.argsort(depth[:states], kind="stable"), best)[state_of]
    starts = ends - lengths + np.arange(len(samples))
    return [int(reach[start : start + length].max(initial=0)) for start, length in zip(starts, lengths, strict=True)]


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


@compiled
def build(codes, after, link, depth, state_of):
    """The automaton of `codes` (n,); returns its number of states.

    Args:
        after: (states, symbols) the state that a symbol leads to, or -1.
        link: (states,) the state of the longest end that occurs elsewhere too.
        depth: (states,) the longest run of the state.
        state_of: (n,) the state of the whole text up to a symbol.
    """
    states, last = 1, 0
    for place in range(len(codes)):
        code = codes[place]
        new, at = states, last
        states += 1
        depth[new] = depth[last] + 1
        while at >= 0 and after[at, code] < 0:
            after[at, code] = new
            at = link[at]
        if at < 0:
            link[new] = 0
        else:
            found = after[at, code]
            if depth[found] == depth[at] + 1:
                link[new] = found
            else:
                copy = states
                states += 1
                depth[copy] = depth[at] + 1
                after[copy] = after[found]
                link[copy] = link[found]
                while at >= 0 and after[at, code] == found:
                    after[at, code] = copy
                    at = link[at]
                link[found] = copy
                link[new] = copy
        last = new
        state_of[place] = new
    return states


@compiled
def pass_through(codes, after, link, depth, best, standing):
    """Read `codes`, -1 for what no sample has; best[s] becomes the longest run that ended in state s.

    standing: state and length of the run that the text so far ends with; changed.
    """
    state, length = standing
    for code in codes:
        while state > 0 and (code < 0 or after[state, code] < 0):
            state = link[state]
            length = depth[state]
        if code >= 0 and after[state, code] >= 0:
            state = after[state, code]
            length += 1
        best[state] = max(best[state], length)
    standing[0], standing[1] = state, length


@compiled
def spread(link, depth, order, best):
    """(states,) the longest run of the text that a state's text ends with. order: states, the shallowest first."""
    for at in range(len(order) - 1, 0, -1):
        state = order[at]
        if best[state] > 0:
            best[link[state]] = depth[link[state]]
    for at in range(1, len(order)):
        state = order[at]
        if best[state] == 0:
            best[state] = best[link[state]]
    return best

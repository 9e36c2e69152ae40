"""Parts of regions, cut at the edges of blocks, become whole polygons again; in a time that follows their corners.

(A general union of polygons takes quadratic time where a region has very many holes.)
"""

from __future__ import annotations

import numpy as np

from paddle_rsseg.geo.trace import cycles, lowest_of_cycle, turns_left


def join_parts(parts: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Polygons in pixel coordinates, cut along rows, → one polygon for each owner 0, 1, ….

    Where parts of one owner meet, both have the same edge, in opposite directions. Both edges are taken out, and what
    led to the one leads to what follows the other.
    """
    import shapely

    rings, part = shapely.get_rings(parts, return_index=True)
    owner = owners[part]
    is_hole = np.diff(part, prepend=-1) == 0  # the first ring of a part is the outer one
    at, ring = shapely.get_coordinates(rings, return_index=True)
    at, ring = _walked_right(at.astype(np.int64), ring, is_hole)
    count = np.bincount(ring, minlength=len(rings))
    starts = np.cumsum(count) - count
    following = np.arange(1, len(at) + 1)
    following[starts + count - 1] = starts

    partner = _meeting(at, following, owner[ring])
    cut = np.zeros(len(rings), bool)
    cut[ring[partner >= 0]] = True
    # edges of the rings that are cut and have no partner, in new rings
    edges = np.flatnonzero(cut[ring] & (partner < 0))
    after = following[edges]
    while (gone := partner[after] >= 0).any():
        after[gone] = following[partner[after[gone]]]
    place = np.full(len(at), -1, np.int32)
    place[edges] = np.arange(len(edges), dtype=np.int32)
    linked = place[after]
    _part_at_touches(linked, at[after], owner[ring[edges]])
    new_ring, order, lengths, first = cycles(linked)
    begins = np.cumsum(lengths) - lengths
    corners = np.empty((len(edges), 2), np.int64)
    corners[begins[new_ring] + order] = at[edges]

    whole = rings[~cut]
    made = whole[:0]
    if len(edges):
        made = shapely.linearrings(corners.astype(float), indices=np.repeat(np.arange(len(lengths)), lengths))
    holes = np.concatenate([is_hole[~cut], turns_left(corners, begins, lengths)])
    of = np.concatenate([owner[~cut], owner[ring[edges[first]]]])
    sort = np.lexsort((holes, of))
    return shapely.polygons(np.concatenate([whole, made])[sort], indices=of[sort])


def _walked_right(at: np.ndarray, ring: np.ndarray, is_hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rings without their last point, which is the first, the region at the right hand of who walks along them."""
    last = np.diff(ring, append=-1) != 0
    at, ring = at[~last], ring[~last]
    count = np.bincount(ring)
    starts = np.cumsum(count) - count
    turned = turns_left(at, starts, count) != is_hole
    number = np.arange(len(at))
    backwards = (2 * starts + count - 1)[ring] - number
    return at[np.where(turned[ring], backwards, number)], ring


def _meeting(at: np.ndarray, following: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """For each edge the same one of the same owner in the other direction, -1 where there is none."""
    end = at[following]
    level = np.flatnonzero(at[:, 1] == end[:, 1])
    left, right = np.minimum(at[level, 0], end[level, 0]), np.maximum(at[level, 0], end[level, 0])
    keys = np.stack([owner[level], at[level, 1], left, right])
    order = np.lexsort(keys)
    same = (keys[:, order[1:]] == keys[:, order[:-1]]).all(axis=0)
    one, other = level[order[1:][same]], level[order[:-1][same]]
    partner = np.full(len(at), -1)
    partner[one], partner[other] = other, one
    return partner


def _part_at_touches(linked: np.ndarray, ends: np.ndarray, owner: np.ndarray) -> None:
    """As in :mod:`paddle_rsseg.geo.trace`: a ring that comes to a point twice becomes two; in place."""
    keys = np.stack([owner, ends[:, 1], ends[:, 0], lowest_of_cycle(linked)])
    order = np.lexsort(keys)
    same = (keys[:, order[1:]] == keys[:, order[:-1]]).all(axis=0)
    one, other = order[1:][same], order[:-1][same]
    linked[one], linked[other] = linked[other], linked[one]

"""Capsules around the arm's meshes, for the governor's self-collision check.

The governor carries a table (`control.capsules`) and no mesh. This makes the table: the surface
of a link is divided into parts, and a capsule of little volume is put round each, so that every
triangle lies whole in one capsule. The table is printed by
``python -c "from roboadapt_ros.sim.capsule_fit import table; print(table())"``.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
import numpy.typing as npt
from roboadapt_ros.sim.meshes import read_mesh
from roboadapt_ros.sim.objects import find_asset

FloatArray = npt.NDArray[np.float64]

PADDING_M = 0.003
"""Added to each radius [m]: the links of an FR3 differ from a Panda's by up to 2 mm."""
FINGER_TRAVEL_M = 0.04
PARTS = {
    'link0': 4,
    'link1': 3,
    'link2': 3,
    'link3': 3,
    'link4': 3,
    'link5': 4,
    'link6': 3,
    'link7': 2,
    'hand': 3,
    'fingers': 1,
}
"""Capsules of each link."""
_EDGE_M = 0.012
"""Triangles are divided down to this edge [m], so that a large one spans no two parts."""
_CELL_M = 0.006
_RESTARTS, _ROUNDS = 5, 10


class Capsule(NamedTuple):
    """All points within a radius of a segment."""

    start: FloatArray
    """(3,) [m]."""
    end: FloatArray
    radius_m: float

    def beyond(self, points: FloatArray) -> FloatArray:
        """Return how far points (..., 3) [m] lie outside [m]; negative inside."""
        along = self.end - self.start
        part = (points - self.start) @ along / max(float(along @ along), 1e-12)
        nearest = self.start + np.clip(part, 0.0, 1.0)[..., None] * along
        distance: FloatArray = np.linalg.norm(points - nearest, axis=-1) - self.radius_m
        return distance

    @property
    def volume_m3(self) -> float:
        """Volume [m^3]."""
        length = float(np.linalg.norm(self.end - self.start))
        return float(np.pi * self.radius_m**2 * (length + 4.0 / 3.0 * self.radius_m))


def link_triangles() -> dict[str, FloatArray]:
    """Return the surface of each link, (n, 3, 3) [m] in the link's frame, by name.

    'hand' is in the hand's frame, and so is 'fingers': both, at the ends of their travel.
    """
    found = {}
    for file in ('panda.xml', 'panda_hand.xml'):
        path = find_asset('dm_robotics.panda', 'panda', file)
        model = mujoco.MjModel.from_xml_path(str(path))
        for index in range(model.nmesh):
            vertices, faces = read_mesh(model, index)
            found[model.mesh(index).name] = vertices[faces]
    finger = found.pop('finger') + np.array([0.0, 0.0, 0.0584])
    left = [finger, finger + np.array([0.0, FINGER_TRAVEL_M, 0.0])]
    found['fingers'] = np.concatenate([*left, *(part * [-1.0, -1.0, 1.0] for part in left)])
    return found


def divided(triangles: FloatArray, edge_m: float = _EDGE_M) -> FloatArray:
    """Return the same surface in triangles (m, 3, 3) with no edge longer than `edge_m`."""
    done = []
    while len(triangles):
        edges = np.linalg.norm(np.roll(triangles, -1, axis=1) - triangles, axis=2)
        is_long = edges.max(axis=1) > edge_m
        done.append(triangles[~is_long])
        long, longest = triangles[is_long], edges[is_long].argmax(axis=1)
        rows = np.arange(len(long))
        a, b, c = (long[rows, (longest + k) % 3] for k in range(3))
        middle = (a + b) / 2.0
        halves = [np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)]
        triangles = np.concatenate(halves)
    return np.concatenate(done)


def enclosing(points: FloatArray) -> Capsule:
    """Return a capsule of little volume round points (n, 3) [m], by pattern search."""
    middle = points.mean(axis=0)
    _, _, axes = np.linalg.svd(points - middle, full_matrices=False)
    reach = (points - middle) @ axes[0]
    thick = float(np.abs((points - middle) @ axes[1:].T).max())
    low, high = min(reach.min() + thick, 0.0), max(reach.max() - thick, 0.0)
    best = _around(points, middle + low * axes[0], middle + high * axes[0])
    step = 0.02
    while step > 2e-4:
        tries = []
        for move in np.vstack([np.eye(6), -np.eye(6)]) * step:
            tries.append(_around(points, best.start + move[:3], best.end + move[3:]))
        for axis in range(3):  # both ends together
            for sign in (step, -step):
                move = sign * np.eye(3)[axis]
                tries.append(_around(points, best.start + move, best.end + move))
        nearest = min(tries, key=lambda capsule: capsule.volume_m3)
        if nearest.volume_m3 < best.volume_m3 * (1.0 - 1e-6):
            best = nearest
        else:
            step /= 2.0
    return best


def fit(triangles: FloatArray, count: int, rng: np.random.Generator) -> list[Capsule]:
    """Return capsules round a surface (n, 3, 3) [m], each triangle whole in one of them."""
    pieces = divided(triangles)
    sample = _thinned(pieces)
    best = _fit_sample(sample, count, rng)
    owner = np.argmin([capsule.beyond(pieces).max(axis=1) for capsule in best], axis=0)
    grown = []
    for k, capsule in enumerate(best):
        outside = float(capsule.beyond(pieces[owner == k]).max())
        grown.append(capsule._replace(radius_m=capsule.radius_m + outside + PADDING_M))
    return sorted(grown, key=lambda capsule: -capsule.volume_m3)


def _fit_sample(pieces: FloatArray, count: int, rng: np.random.Generator) -> list[Capsule]:
    """Return capsules of little volume: seeds from k-means, then fitted and assigned in turn."""
    best: list[Capsule] = []
    for _ in range(_RESTARTS if count > 1 else 1):
        owner = _nearest_seed(pieces.mean(axis=1), count, rng)
        for _ in range(_ROUNDS if count > 1 else 1):
            if np.bincount(owner, minlength=count).min() < 4:
                break
            capsules = [enclosing(outline(pieces[owner == k])) for k in range(count)]
            if not best or _volume(capsules) < _volume(best):
                best = capsules
            owner = np.argmin([c.beyond(pieces).max(axis=1) for c in capsules], axis=0)
    return best


def _thinned(pieces: FloatArray) -> FloatArray:
    """Return one triangle of those in each cell of a grid."""
    cells = np.floor(pieces.mean(axis=1) / _CELL_M).astype(np.int64)
    return pieces[np.unique(cells, axis=0, return_index=True)[1]]


def outline(triangles: FloatArray, directions: int = 150) -> FloatArray:
    """Return the points (m, 3) of triangles that are outermost in one of many directions."""
    points = np.unique(triangles.reshape(-1, 3).round(7), axis=0)
    turns = np.random.default_rng(0).normal(size=(directions, 3))
    return points[np.unique([int((points @ turn).argmax()) for turn in turns])]


def table() -> str:
    """Return the table of `control.capsules` as Python text."""
    rng, lines = np.random.default_rng(0), []
    for name, triangles in sorted(link_triangles().items()):
        for capsule in fit(triangles, PARTS[name], rng):
            start, end = (
                ', '.join(f'{value:.4f}' for value in point)
                for point in (capsule.start, capsule.end)
            )
            # Rounded up, so that the written capsule still encloses.
            radius = np.ceil(capsule.radius_m * 1e4) / 1e4
            lines.append(f"Capsule('{name}', ({start}), ({end}), {radius:.4f}),")
    return '\n'.join(lines)


def _around(points: FloatArray, start: FloatArray, end: FloatArray) -> Capsule:
    return Capsule(start, end, float(Capsule(start, end, 0.0).beyond(points).max()))


def _nearest_seed(
    centres: FloatArray, count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    seeds = centres[rng.choice(len(centres), count, replace=False)]
    for _ in range(10):
        owner = np.linalg.norm(centres[:, None] - seeds, axis=2).argmin(axis=1)
        seeds = np.array(
            [
                centres[owner == k].mean(axis=0) if (owner == k).any() else seeds[k]
                for k in range(count)
            ]
        )
    return owner


def _volume(capsules: list[Capsule]) -> float:
    return sum(capsule.volume_m3 for capsule in capsules)

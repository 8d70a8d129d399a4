"""How near the arm's links are to each other, from their meshes: to check the governor by.

The meshes go to MuJoCo in convex parts, one for each capsule of `control.capsules`, because a
whole link's convex hull fills the corner of its elbow. Fingers are open.
"""

from __future__ import annotations

from collections.abc import Iterable

import mujoco
import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.capsules import CAPSULES
from roboadapt_ros.sim.capsule_fit import Capsule, divided, link_triangles, outline
from roboadapt_ros.sim.objects import find_asset

FloatArray = npt.NDArray[np.float64]

_FAR_M = 1.0
TOUCHING_M = 0.006
"""Links nearer than this may be in each other [m]."""
_DIRECTIONS = 2000
"""Directions in which a part's outermost points are kept: the rest is within 1 mm of them."""


def mesh_parts() -> dict[str, list[FloatArray]]:
    """Return the points (n, 3) [m] of each link's convex parts, link frame."""
    found = {}
    for link, triangles in link_triangles().items():
        pieces = divided(triangles)
        capsules = [
            Capsule(np.array(c.start), np.array(c.end), c.radius_m)
            for c in CAPSULES
            if c.link == link
        ]
        owner = np.argmin([capsule.beyond(pieces).max(axis=1) for capsule in capsules], axis=0)
        found[link] = [outline(pieces[owner == k], _DIRECTIONS) for k in range(len(capsules))]
    return found


class MeshDistance:
    """Distances between links [m].

    Example: with the hand folded back onto the base, ``between(q, [('link0', 'hand')])`` is below
    `TOUCHING_M`. How deep they are in each other MuJoCo 3.3 does not say of such meshes: it says
    something from a little below zero to 6 mm.
    """

    def __init__(self) -> None:
        """Build a model of bodies and convex meshes alone."""
        spec = mujoco.MjSpec.from_file(str(find_asset('dm_robotics.panda', 'panda', 'panda.xml')))
        for geom in list(spec.geoms):
            geom.delete()
        hand = spec.body('panda_link8').add_body(
            name='panda_hand', quat=[np.cos(np.pi / 8), 0, 0, -np.sin(np.pi / 8)]
        )
        self._geoms: dict[str, list[str]] = {}
        for link, parts in mesh_parts().items():
            body = hand if link in ('hand', 'fingers') else spec.body(f'panda_{link}')
            self._geoms[link] = [f'{link}_{k}' for k in range(len(parts))]
            for name, points in zip(self._geoms[link], parts, strict=True):
                mesh = spec.add_mesh(name=name)
                mesh.uservert = points.reshape(-1)
                body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)

    def between(self, q: FloatArray, pairs: Iterable[tuple[str, str]]) -> float:
        """Return the least distance of some pairs of links at joints (7,) [rad]."""
        self._data.qpos[:7] = q
        mujoco.mj_kinematics(self._model, self._data)
        ids = {
            link: [self._model.geom(name).id for name in names]
            for link, names in self._geoms.items()
        }
        return min(
            mujoco.mj_geomDistance(self._model, self._data, a, b, _FAR_M, None)
            for one, other in pairs
            for a in ids[one]
            for b in ids[other]
        )

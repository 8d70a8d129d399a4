"""The objects on the table, and the rules by which geoms are seen and collide.

They are the fifth test triplet of DeepMind's RGB objects (`dm_robotics.manipulation`).
"""

from __future__ import annotations

from dataclasses import dataclass
import importlib.util
from pathlib import Path

import mujoco
import numpy as np
from roboadapt_ros.errors import SimError

TABLE_BIT, OBJECT_BIT, GRIPPER_BIT = 1, 2, 4
VISUAL_GROUP, COLLISION_GROUP = 2, 3


@dataclass(frozen=True, kw_only=True)
class ObjectModel:
    """One of the RGB objects, as it lies on the table."""

    name: str
    mesh: str
    """Id in the RGB-objects data set."""
    rest_quat_wxyz: tuple[float, float, float, float]
    """Orientation that puts the wanted face on the table, before the yaw."""
    rest_height_m: float
    """Height of the centre above the table at rest [m]."""
    rgb: tuple[float, float, float]
    is_box: bool
    """Collide as the box that the mesh is, which is faster and steadier than the mesh."""


_S = float(np.sqrt(0.5))
# Test triplet 5: a decagonal prism 50 mm wide and high (a pair of fingers fits it at any yaw), a
# block of 80x56x40 mm laid flat, a 50 mm cube.
OBJECTS = (
    ObjectModel(
        name='red',
        mesh='r2',
        rest_quat_wxyz=(1.0, 0.0, 0.0, 0.0),
        rest_height_m=0.025,
        rgb=(0.85, 0.06, 0.05),
        is_box=False,
    ),
    ObjectModel(
        name='green',
        mesh='g6',
        rest_quat_wxyz=(_S, 0.0, _S, 0.0),
        rest_height_m=0.02,
        rgb=(0.05, 0.6, 0.12),
        is_box=True,
    ),
    ObjectModel(
        name='blue',
        mesh='s0',
        rest_quat_wxyz=(1.0, 0.0, 0.0, 0.0),
        rest_height_m=0.025,
        rgb=(0.06, 0.16, 0.85),
        is_box=True,
    ),
)


def find_asset(package: str, *parts: str) -> Path:
    """Return a path inside the `assets` folder of an installed package."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SimError(
            f"Package '{package}' is not installed; the simulated rig takes its meshes from it. "
            "Run 'make setup', or install requirements-assets.txt."
        )
    return Path(found.submodule_search_locations[0], 'assets', *parts)


def add_object(spec: mujoco.MjSpec, model: ObjectModel) -> None:
    """Add the object as a free body with its mesh and its collision shape."""
    folder = find_asset(
        'dm_robotics.manipulation.props.rgb_objects', 'rgb_v1.3', 'meshes', 'test_triplets'
    )
    files = sorted(folder.glob(f'{model.mesh}_*.stl'))
    if not files:
        raise SimError(
            f"No mesh '{model.mesh}_*.stl' in {folder}; reinstall dm-robotics-manipulation"
        )
    spec.add_mesh(name=model.name, file=str(files[0]))
    body = spec.worldbody.add_body(name=model.name)
    body.add_freejoint(name=model.name)
    visual = body.add_geom(name=model.name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=model.name)
    make_visual(visual, rgba=(*model.rgb, 1.0))
    visual.mass = 0.0
    shape = mujoco.mjtGeom.mjGEOM_BOX if model.is_box else mujoco.mjtGeom.mjGEOM_MESH
    body.add_geom(
        name=f'{model.name}_collision',
        type=shape,
        meshname=model.name,
        group=COLLISION_GROUP,
        density=900.0,
        contype=OBJECT_BIT,
        conaffinity=TABLE_BIT | OBJECT_BIT | GRIPPER_BIT,
        condim=4,
        friction=[0.5, 0.01, 0.0001],
    )


def make_visual(geom: mujoco.MjsGeom, rgba: tuple[float, float, float, float]) -> None:
    """Let `geom` be seen and nothing else."""
    geom.contype, geom.conaffinity, geom.group = 0, 0, VISUAL_GROUP
    geom.material = ''
    geom.rgba = rgba

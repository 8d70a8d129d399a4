"""The table in MuJoCo: objects, cameras, light, and what can be asked about them.

What moves on its own is in `rig`.
"""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import UnknownNameError
from roboadapt_ros.sim.camera import CameraModel, Cameras
from roboadapt_ros.sim.objects import OBJECTS
from roboadapt_ros.sim.stage import Stage
from roboadapt_ros.sim.world import build_world, CAMERAS

FloatArray = npt.NDArray[np.float64]

OBJECT_NAMES = ('red', 'green', 'blue', 'mark')


class Table:
    """A world with its cameras; a robot on it is the subclass's.

    Example: ``table.object_pose('red')`` is where the red object lies, ``table.render('wrist')``
    what the camera at the hand sees.
    """

    def __init__(self, width: int, height: int):
        """Build the world, cameras with pictures of `width` x `height` [px]."""
        self._model = build_world(width=width, height=height)
        self._data = mujoco.MjData(self._model)
        self._cameras = Cameras(self._model, self._data, names=CAMERAS, size=(width, height))
        self._stage = Stage(self._model)
        self._body = {name: self._model.body(name).id for name in OBJECT_NAMES}

    def object_pose(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Return position (3,) [m] and quaternion (4,), xyzw, of 'red', 'green', 'blue', 'mark'.

        Raises:
            UnknownNameError: No such object.
        """
        body = self._find_body(name)
        return self._data.xpos[body].copy(), np.roll(self._data.xquat[body], -1)

    def object_speed_m_s(self, name: str) -> float:
        """Return the speed of the centre of `name` [m/s]."""
        first = self._model.body_dofadr[self._find_body(name)]
        return float(np.linalg.norm(self._data.qvel[first : first + 3])) if first >= 0 else 0.0

    def rest_height_m(self, name: str) -> float:
        """Return the height of the centre of `name` when it lies on the table as placed [m]."""
        self._find_body(name)
        return next((item.rest_height_m for item in OBJECTS if item.name == name), 0.0)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names that `render` and `camera_model` take."""
        return self._cameras.names

    def camera_model(self, camera: str) -> CameraModel:
        """Return intrinsics and present pose of `camera`."""
        return self._cameras.read(camera)

    def render(self, camera: str) -> npt.NDArray[np.uint8]:
        """Return what `camera` sees now: (H, W, 3) uint8 RGB.

        The first call makes the OpenGL context, so call from one thread only.
        """
        return self._cameras.render(camera)

    def close(self) -> None:
        """Free the OpenGL context; the rig can go on without, and `render` makes a new one."""
        self._cameras.close()

    def _find_body(self, name: str) -> int:
        if name not in self._body:
            raise UnknownNameError('object', name, self._body)
        return self._body[name]

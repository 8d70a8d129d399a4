"""Camera geometry and off-screen rendering.

MuJoCo cameras look along -z with y up; ROS optical frames look along +z with y down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import weakref

import mujoco
import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import UnknownNameError
from roboadapt_ros.sim.objects import VISUAL_GROUP

FloatArray = npt.NDArray[np.float64]
Size = tuple[int, int]

_OPTICAL_FROM_MUJOCO = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class CameraModel:
    """A pinhole camera and where it is.

    Example: a point at (0, 0, 1) m in the optical frame lands on pixel (cx, cy).
    """

    width: int
    height: int
    fx: float
    """Focal length along x [px]."""
    fy: float
    cx: float
    """Principal point [px], counted from the left edge of the image, not of the first pixel."""
    cy: float
    base_from_camera: FloatArray
    """Pose (4, 4) of the optical frame (z forward, x right, y down) in the base frame."""

    def project(self, point_base: FloatArray) -> FloatArray:
        """Return the image position (2,) [px] of a point (3,) [m] of the base frame."""
        rotation, origin = self.base_from_camera[:3, :3], self.base_from_camera[:3, 3]
        x, y, z = rotation.T @ (np.asarray(point_base, dtype=np.float64) - origin)
        return np.array([self.fx * x / z + self.cx, self.fy * y / z + self.cy])


def look_at_quat_wxyz(
    position: Sequence[float], target: Sequence[float], *, up: Sequence[float]
) -> FloatArray:
    """Return the orientation (4,), w first, of a MuJoCo camera at `position` facing `target`."""
    backward = np.asarray(position, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    backward /= np.linalg.norm(backward)
    right = np.cross(np.asarray(up, dtype=np.float64), backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, rotation.reshape(-1))
    return quat


def read_camera(
    model: mujoco.MjModel, data: mujoco.MjData, name: str, *, width: int, height: int
) -> CameraModel:
    """Return the camera `name` as it is now, for images of `width` x `height` [px]."""
    camera_id = model.camera(name).id
    focal = 0.5 * height / np.tan(0.5 * np.deg2rad(model.cam_fovy[camera_id]))
    pose = np.eye(4)
    pose[:3, :3] = data.cam_xmat[camera_id].reshape(3, 3) @ _OPTICAL_FROM_MUJOCO
    pose[:3, 3] = data.cam_xpos[camera_id]
    return CameraModel(width, height, focal, focal, width / 2, height / 2, pose)


class Cameras:
    """The cameras of one world: geometry and images, drawn as cheaply as MuJoCo allows.

    The OpenGL context is made by the first `render` and belongs to the thread that called it.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, *, names: Sequence[str], size: Size
    ):
        """Store what is drawn; `size` is width and height [px]."""
        self.names = tuple(names)
        self._model, self._data = model, data
        self._width, self._height = size
        self._renderer: mujoco.Renderer | None = None
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = [group == VISUAL_GROUP for group in range(6)]
        self._option.sitegroup[:] = 0

    def read(self, name: str) -> CameraModel:
        """Return intrinsics and present pose of the camera `name`."""
        self._check(name)
        mujoco.mj_camlight(self._model, self._data)
        size = {'width': self._width, 'height': self._height}
        return read_camera(self._model, self._data, name, **size)

    def render(self, name: str) -> npt.NDArray[np.uint8]:
        """Return what the camera `name` sees: (H, W, 3) uint8 RGB."""
        self._check(name)
        if self._renderer is None:
            self._renderer = self._make_renderer()
        self._renderer.update_scene(self._data, name, self._option)
        return self._renderer.render()

    def close(self) -> None:
        """Free the context; the next `render` makes a new one."""
        if self._renderer is not None:
            self._closer()
            self._renderer = None

    def _make_renderer(self) -> mujoco.Renderer:
        renderer = mujoco.Renderer(self._model, height=self._height, width=self._width)
        for flag in ('SHADOW', 'REFLECTION', 'SKYBOX', 'HAZE', 'FOG'):
            renderer.scene.flags[getattr(mujoco.mjtRndFlag, f'mjRND_{flag}')] = 0
        # EGL prints errors for a context that is still there when Python exits.
        self._closer = weakref.finalize(self, renderer.close)
        return renderer

    def _check(self, name: str) -> None:
        if name not in self.names:
            raise UnknownNameError('camera', name, self.names)

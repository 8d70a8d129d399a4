"""Puts a drawn scene into the world: objects on the table, light, colours, camera poses."""

from __future__ import annotations

import mujoco
import numpy as np
from roboadapt_ros.sim.objects import OBJECTS
from roboadapt_ros.sim.scene import Look, SceneSample
from roboadapt_ros.sim.world import CAMERAS


class Stage:
    """Sets up scenes in one world; it keeps the world's own look, to which changes are added."""

    def __init__(self, model: mujoco.MjModel):
        """Remember colours, lamp and cameras as they were built."""
        self._model = model
        self._cameras = [model.camera(name).id for name in CAMERAS]
        self._rgba = model.geom_rgba.copy()
        self._lamp_position = model.light_pos.copy()
        self._lamp_diffuse = model.light_diffuse.copy()
        self._camera_position = model.cam_pos.copy()
        self._camera_quat = model.cam_quat.copy()

    def place_objects(self, data: mujoco.MjData, scene: SceneSample) -> None:
        """Lay the objects and the mark on the table."""
        for item in OBJECTS:
            half = 0.5 * scene.yaw_rad[item.name]
            quat = np.zeros(4)
            mujoco.mju_mulQuat(
                quat,
                np.array([np.cos(half), 0.0, 0.0, np.sin(half)]),
                np.array(item.rest_quat_wxyz),
            )
            place = [*scene.position_xy[item.name], item.rest_height_m, *quat]
            data.joint(item.name).qpos[:] = place
        data.mocap_pos[0] = [*scene.position_xy['mark'], 0.0]

    def apply_look(self, look: Look) -> None:
        """Change colours, lamp and camera poses by the offsets in `look`."""
        model = self._model
        rgba = self._rgba.copy()
        for name, change in {'table': look.table_rgb, **look.object_rgb}.items():
            geom = model.geom(name).id
            rgba[geom, :3] = np.clip(rgba[geom, :3] + change, 0.0, 1.0)
        model.geom_rgba[:] = rgba
        model.light_pos[:] = self._lamp_position
        model.light_pos[0] += look.lamp_position
        model.light_diffuse[:] = self._lamp_diffuse
        model.light_diffuse[0] += look.lamp_diffuse
        for row, camera in enumerate(self._cameras):
            model.cam_pos[camera] = self._camera_position[camera] + look.camera_position[row]
            quat = self._camera_quat[camera].copy()
            mujoco.mju_quatIntegrate(quat, look.camera_rotation[row], 1.0)
            model.cam_quat[camera] = quat

"""Faults that a simulated rig can be given while it runs, and what its cameras send then."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import UnknownNameError
from roboadapt_ros.sim.franka import FRANKA_ERRORS
from roboadapt_ros.sim.rig import GRIPPER_STUCK, SimRig

Picture = npt.NDArray[np.uint8]

FROZEN, GARBAGE, UNPLUGGED = 'frozen', 'garbage', 'unplugged'
CAMERA_FAULTS = (FROZEN, GARBAGE, UNPLUGGED)


class RigFaults:
    """The faults a rig has now.

    Example: ``faults.set('gripper_stuck, scene_frozen')``: the fingers stay where they are, and
    camera scene shows the same picture with stamps that go on. ``faults.set('')`` ends both. An
    error's name, 'joint_reflex', is a cause that lasts: the arm can't be recovered meanwhile.
    """

    def __init__(self, rig: SimRig):
        """Start without faults."""
        self._rig = rig
        cameras = (f'{camera}_{kind}' for camera in rig.camera_names for kind in CAMERA_FAULTS)
        self.names = (GRIPPER_STUCK, *cameras, *FRANKA_ERRORS)
        """What `set` takes."""
        self._active: frozenset[str] = frozenset()
        self._last: dict[str, Picture] = {}
        self._rng = np.random.default_rng(0)

    def set(self, text: str) -> None:
        """Have exactly these faults from now on.

        Args:
            text: Names with commas between them; '' for none.

        Raises:
            UnknownNameError: A name that is no fault; nothing has changed.
        """
        wanted = [name.strip() for name in text.split(',') if name.strip()]
        for name in wanted:
            if name not in self.names:
                raise UnknownNameError('fault', name, self.names)
        self._active = frozenset(wanted)
        of_rig = (GRIPPER_STUCK, *FRANKA_ERRORS)
        self._rig.set_faults(tuple(name for name in wanted if name in of_rig))

    def picture(self, camera: str) -> Picture | None:
        """Return what a camera sends now (H, W, 3) RGB, or None where it sends nothing."""
        if f'{camera}_{UNPLUGGED}' in self._active:
            return None
        if f'{camera}_{FROZEN}' in self._active and camera in self._last:
            return self._last[camera]
        picture = self._rig.render(camera)
        self._last[camera] = picture
        if f'{camera}_{GARBAGE}' in self._active:
            return self._rng.integers(0, 256, picture.shape, dtype=np.uint8)
        return picture

"""How near the arm comes to itself, by capsules round its links.

Pinocchio's geometry (coal) measures all pairs of capsules in a few microseconds. Panda and FR3
have the same joints and nearly the same outside, see `capsules`. This module imports numpy,
Pinocchio and the control tables only.
"""

from __future__ import annotations

from collections.abc import Sequence
import itertools
from typing import NamedTuple

import coal
import numpy as np
import numpy.typing as npt
import pinocchio as pin
from roboadapt_ros.control.anchor import Anchor, REACH_M
from roboadapt_ros.control.capsules import Capsule, CAPSULES
from roboadapt_ros.control.kinematics import build_panda_model, FLANGE_Z_M, HAND_YAW_RAD
from roboadapt_ros.control.limits import JOINTS
from roboadapt_ros.errors import SpecError

FloatArray = npt.NDArray[np.float64]

_JOINTS = {f'link{i}': i for i in range(8)} | {'hand': 7, 'fingers': 7}
_PLACES = {f'link{i}': i for i in range(8)} | {'hand': 8, 'fingers': 8}
_NEVER_NEAR = {
    ('link0', 'link3'),
    ('link1', 'link4'),
    ('link3', 'link6'),
    ('link3', 'link7'),
    ('link3', 'hand'),
    ('link4', 'link7'),
}
"""Links whose capsules stay 0.06 m or more apart, wherever the joints are within their ends."""


def _pairs() -> tuple[tuple[str, str], ...]:
    """Return the pairs of links that are measured.

    Neighbours touch by construction. So do, as capsules, links with one link between them: that
    one is short, and the joints' ends keep them apart (the hand turns with link 7, which no
    joint brings nearer to link 6).
    """
    return tuple(
        (one, other)
        for one, other in itertools.combinations(_PLACES, 2)
        if _PLACES[other] - _PLACES[one] > 2 and (one, other) not in _NEVER_NEAR
    )


PAIRS = _pairs()
"""Links that could come near each other."""
_WRIST = (('link5', 'hand'), ('link5', 'fingers'))
_WRIST_JOINT = 5
"""Index of the first joint between these."""


class Nearest(NamedTuple):
    """The two links that are nearest to each other."""

    distance_m: float
    """Negative where their capsules overlap."""
    one: str
    other: str


class PairDistances:
    """Measures some pairs of links."""

    def __init__(self, pairs: Sequence[tuple[str, str]], reach_m: FloatArray):
        """Put the capsules on the joints.

        Args:
            pairs: Which links are held against each other.
            reach_m: (7,) largest change of their distance for each joint's turn [m/rad].
        """
        self.anchor = Anchor(reach_m)
        """Where they were last measured by `distance`."""
        self._model, _ = build_panda_model()
        self._data = self._model.createData()
        self._geometry = pin.GeometryModel()
        for index, capsule in enumerate(CAPSULES):
            self._geometry.addGeometryObject(_geometry_object(index, capsule))
        self._pairs: list[tuple[str, str]] = []
        for one, other in itertools.combinations(range(len(CAPSULES)), 2):
            links = CAPSULES[one].link, CAPSULES[other].link
            if links in pairs:
                self._geometry.addCollisionPair(pin.CollisionPair(one, other))
                self._pairs.append(links)
        self._results = pin.GeometryData(self._geometry)

    def distance(self, q: FloatArray) -> float:
        """Return the least distance [m] at joints (7,) [rad]; negative: an overlap."""
        distance = self.nearest(q).distance_m
        self.anchor.note(q, distance)
        return distance

    def nearest(self, q: FloatArray) -> Nearest:
        """Return the least distance at joints (7,) [rad] and between which links it is."""
        index = pin.computeDistances(self._model, self._data, self._geometry, self._results, q)
        if index >= len(self._pairs):  # no distance is less than infinity
            raise SpecError('joints', f'{np.asarray(q).tolist()}', 'finite values')
        return Nearest(
            float(self._results.distanceResults[index].min_distance), *self._pairs[index]
        )


class SelfDistance:
    """Measures the arm against itself.

    Example: at `Q_HOME` the nearest two are link5 and the hand, 0.044 m apart.
    """

    def __init__(self) -> None:
        """Measure the hand against its forearm apart from the rest.

        These two are always near each other, and only joints 6 and 7 are between them.
        """
        far = [pair for pair in PAIRS if pair not in _WRIST]
        wrist_m = np.where(np.arange(JOINTS) >= _WRIST_JOINT, REACH_M, 0.0)
        self.groups = (PairDistances(_WRIST, wrist_m), PairDistances(far, REACH_M))
        """Pairs by what their distance depends on."""

    def nearest(self, q: FloatArray) -> Nearest:
        """Return the least distance at joints (7,) [rad] and between which links it is."""
        return min(group.nearest(q) for group in self.groups)

    def distance(self, q: FloatArray) -> float:
        """Return the least distance [m] at joints (7,) [rad]; negative: an overlap."""
        return self.nearest(q).distance_m


def _geometry_object(index: int, capsule: Capsule) -> pin.GeometryObject:
    """Return a capsule on its joint; coal's own capsule lies along z, about its middle."""
    start, end = np.array(capsule.start), np.array(capsule.end)
    along = end - start
    length = float(np.linalg.norm(along))
    turn = pin.Quaternion.FromTwoVectors(np.array([0.0, 0.0, 1.0]), along / length)
    place = pin.SE3(turn.toRotationMatrix(), (start + end) / 2.0)
    if capsule.link in ('hand', 'fingers'):
        yaw = pin.utils.rotate('z', HAND_YAW_RAD)
        place = pin.SE3(yaw, np.array([0.0, 0.0, FLANGE_Z_M])) * place
    shape = coal.Capsule(capsule.radius_m, length)
    return pin.GeometryObject(f'{capsule.link}_{index}', _JOINTS[capsule.link], place, shape)

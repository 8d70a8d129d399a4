"""The arm's outside as capsules, for the governor's self-collision check.

Made by `sim.capsule_fit` from the meshes of the Panda and its hand in `dm_robotics.panda`
(Apache-2.0), with 3 mm added: every triangle lies whole in one capsule of its link. The FR3's
collision meshes of franka_description 1.0.1 lie in them too. Fingers are enclosed wherever they
are between closed and open. What else is mounted on an arm (cameras, cables) is not here. Plain
data: imports nothing.
"""

from __future__ import annotations

from typing import NamedTuple

Point = tuple[float, float, float]


class Capsule(NamedTuple):
    """All points of a link within a radius of a segment."""

    link: str
    start: Point
    """End of the segment in the link's frame [m]; that of 'fingers' is the hand's."""
    end: Point
    radius_m: float


CAPSULES = (
    Capsule('link0', (-0.0894, -0.0179, 0.0245), (-0.0869, 0.0227, 0.0267), 0.0755),
    Capsule('link0', (-0.0224, 0.0652, 0.0369), (0.0339, 0.0023, 0.0348), 0.0624),
    Capsule('link0', (-0.0222, 0.0029, 0.1007), (0.0020, 0.0000, 0.1050), 0.0700),
    Capsule('link0', (-0.0529, -0.0605, 0.0471), (0.0163, -0.0459, 0.0322), 0.0609),
    Capsule('link1', (0.0001, -0.0349, -0.0008), (-0.0005, -0.0657, -0.0041), 0.0691),
    Capsule('link1', (0.0016, -0.0345, -0.0531), (0.0000, -0.0089, -0.1096), 0.0633),
    Capsule('link1', (0.0008, 0.0031, -0.1450), (0.0002, 0.0003, -0.1688), 0.0635),
    Capsule('link2', (0.0007, -0.0872, 0.0182), (0.0001, -0.0530, 0.0368), 0.0666),
    Capsule('link2', (0.0001, 0.0002, 0.0282), (-0.0002, -0.0001, 0.0678), 0.0649),
    Capsule('link2', (-0.0002, -0.1403, 0.0017), (0.0001, -0.1646, 0.0001), 0.0659),
    Capsule('link3', (-0.0001, 0.0001, -0.0882), (0.0119, 0.0018, -0.0653), 0.0674),
    Capsule('link3', (0.0770, 0.0227, -0.0032), (0.0904, 0.0302, 0.0037), 0.0639),
    Capsule('link3', (0.0682, 0.0581, -0.0124), (0.0811, 0.0665, -0.0011), 0.0578),
    Capsule('link4', (-0.0243, 0.0185, 0.0128), (-0.0015, 0.0008, 0.0204), 0.0634),
    Capsule('link4', (-0.0821, 0.0728, 0.0004), (-0.0826, 0.0996, 0.0001), 0.0636),
    Capsule('link4', (-0.0131, 0.0111, 0.0606), (0.0037, -0.0023, 0.0604), 0.0591),
    Capsule('link5', (-0.0060, 0.0129, -0.2135), (0.0001, -0.0000, -0.2272), 0.0670),
    Capsule('link5', (-0.0027, 0.0888, -0.0418), (0.0001, 0.0900, 0.0009), 0.0557),
    Capsule('link5', (0.0034, 0.0528, -0.1761), (0.0009, 0.0840, -0.1076), 0.0491),
    Capsule('link5', (0.0006, 0.0542, 0.0063), (0.0000, 0.0378, 0.0004), 0.0566),
    Capsule('link6', (0.0168, 0.0052, 0.0132), (0.0027, 0.0004, 0.0065), 0.0599),
    Capsule('link6', (0.0704, 0.0464, 0.0028), (0.0894, 0.0248, -0.0039), 0.0566),
    Capsule('link6', (0.0792, -0.0205, 0.0069), (0.0871, -0.0230, 0.0011), 0.0587),
    Capsule('link7', (-0.0001, -0.0007, 0.0737), (-0.0045, -0.0017, 0.0750), 0.0546),
    Capsule('link7', (0.0376, 0.0289, 0.0796), (0.0295, 0.0370, 0.0808), 0.0490),
    Capsule('hand', (-0.0001, 0.0721, 0.0285), (-0.0004, 0.0183, 0.0271), 0.0489),
    Capsule('hand', (0.0000, -0.0813, 0.0076), (-0.0012, -0.0126, 0.0050), 0.0382),
    Capsule('hand', (0.0001, -0.0111, 0.0518), (-0.0002, -0.0881, 0.0446), 0.0305),
    Capsule('fingers', (-0.0002, 0.0357, 0.0791), (-0.0001, -0.0357, 0.0791), 0.0414),
)  # fmt: skip

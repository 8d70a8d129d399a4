"""What a reset draws at random: object poses, the mark, the arm's start, light and colours.

All tasks share one distribution, so a view at the start does not tell which task is meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ConfigError, SimError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Regions on the table, in the base frame [m], and distances between centres [m]."""

    push_x_m: tuple[float, float] = (0.38, 0.54)
    """Range of x of the blue object, which is pushed away from the robot."""
    push_y_m: tuple[float, float] = (-0.14, 0.14)
    push_distance_m: tuple[float, float] = (0.11, 0.19)
    """Distance of the mark from the blue object."""
    push_angle_rad: float = 0.5
    """Largest angle of the push direction from x."""
    mark_x_max_m: float = 0.67
    mark_y_max_m: float = 0.19
    other_x_m: tuple[float, float] = (0.38, 0.62)
    """Range of x of the red and the green object."""
    other_y_m: tuple[float, float] = (-0.2, 0.2)
    separation_m: float = 0.11
    """Smallest distance of two objects, and of red and green from the push corridor."""
    approach_m: float = 0.08
    """Length of the corridor behind the blue object, where the hand comes down."""
    start_low_m: tuple[float, float, float] = (0.40, -0.08, 0.25)
    """Corner of the box of start positions of the hand's TCP."""
    start_high_m: tuple[float, float, float] = (0.50, 0.08, 0.33)
    randomisation: float = 0.5
    """Strength of light, colour and camera changes, 0 (none) to 1."""

    def __post_init__(self) -> None:
        """Refuse a strength outside its range."""
        if not 0.0 <= self.randomisation <= 1.0:
            raise ConfigError('randomisation', self.randomisation, 'must be within 0..1')


@dataclass(frozen=True)
class SceneSample:
    """One scene."""

    position_xy: dict[str, FloatArray]
    """Centres (2,) [m] of red, green, blue and mark on the table."""
    yaw_rad: dict[str, float]
    """Yaw of red, green and blue."""
    start_position: FloatArray
    """TCP position (3,) [m] of the arm at the start."""
    look: Look


@dataclass(frozen=True)
class Look:
    """Changes of appearance, as offsets from the world's own values."""

    table_rgb: FloatArray
    object_rgb: dict[str, FloatArray]
    lamp_position: FloatArray
    lamp_diffuse: float
    camera_position: FloatArray
    """Offset (2, 3) [m] of the scene and wrist camera."""
    camera_rotation: FloatArray
    """Rotation vector (2, 3) [rad] of the scene and wrist camera."""


def sample_scene(rng: np.random.Generator, config: SceneConfig) -> SceneSample:
    """Draw a scene in which nothing overlaps and the push corridor is free."""
    blue, mark = _sample_push(rng, config)
    direction = (mark - blue) / np.linalg.norm(mark - blue)
    behind = blue - config.approach_m * direction
    placed: dict[str, FloatArray] = {'blue': blue, 'mark': mark}
    for name in ('red', 'green'):
        placed[name] = _sample_free(rng, config, behind, placed)
    yaw = {name: float(rng.uniform(-np.pi, np.pi)) for name in ('red', 'green', 'blue')}
    start = rng.uniform(config.start_low_m, config.start_high_m)
    return SceneSample(placed, yaw, start, _sample_look(rng, config.randomisation))


def _sample_push(rng: np.random.Generator, config: SceneConfig) -> tuple[FloatArray, FloatArray]:
    """Draw the blue object and the mark."""
    for _ in range(1000):
        blue = np.array([rng.uniform(*config.push_x_m), rng.uniform(*config.push_y_m)])
        angle = rng.uniform(-config.push_angle_rad, config.push_angle_rad)
        away = rng.uniform(*config.push_distance_m) * np.array([np.cos(angle), np.sin(angle)])
        mark = blue + away
        if mark[0] <= config.mark_x_max_m and abs(mark[1]) <= config.mark_y_max_m:
            return blue, mark
    raise SimError('No mark fits the scene in 1000 draws; widen mark_x_max_m or mark_y_max_m')


def _sample_free(
    rng: np.random.Generator,
    config: SceneConfig,
    behind: FloatArray,
    placed: dict[str, FloatArray],
) -> FloatArray:
    """Draw a centre away from the corridor and from what is placed."""
    low = [config.other_x_m[0], config.other_y_m[0]]
    high = [config.other_x_m[1], config.other_y_m[1]]
    for _ in range(5000):
        centre = rng.uniform(low, high)
        clear = [distance_to_segment(centre, behind, placed['mark'])]
        clear += [float(np.linalg.norm(centre - other)) for other in placed.values()]
        if min(clear) >= config.separation_m:
            return centre
    raise SimError('No free place for an object in 5000 draws; lower separation_m')


def distance_to_segment(point: FloatArray, start: FloatArray, end: FloatArray) -> float:
    """Return the distance [m] of `point` (2,) from the segment between two points (2,)."""
    along = end - start
    share = np.clip(np.dot(point - start, along) / np.dot(along, along), 0.0, 1.0)
    return float(np.linalg.norm(point - start - share * along))


def _sample_look(rng: np.random.Generator, strength: float) -> Look:
    table = strength * (rng.uniform(-0.14, 0.14) + rng.uniform(-0.04, 0.04, size=3))
    objects = {
        name: strength * rng.uniform(-0.08, 0.08, size=3)
        for name in ('red', 'green', 'blue', 'mark')
    }
    return Look(
        table_rgb=table,
        object_rgb=objects,
        lamp_position=strength * rng.uniform(-0.6, 0.6, size=3),
        lamp_diffuse=strength * float(rng.uniform(-0.25, 0.25)),
        camera_position=strength * rng.uniform(-1.0, 1.0, size=(2, 3)) * [[0.02], [0.004]],
        camera_rotation=strength * rng.uniform(-1.0, 1.0, size=(2, 3)) * [[0.03], [0.02]],
    )

"""Hostile streams of chunks: what a broken policy, camera, clock or switch could send.

Everything is drawn from one generator, so that a seed brings a stream back. This module imports
numpy and the chunk's own types only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from roboadapt_ros.bench.hostile_arm import FOLDED
from roboadapt_ros.bench.hostile_bounds import draw_bad_envelope
from roboadapt_ros.contract import ActionSpace, Envelope
from roboadapt_ros.dataflow import ActionChunk, Identity, LatencyLedger

FloatArray = npt.NDArray[np.float64]
Fields = dict[str, Any]
Trouble = Callable[[np.random.Generator, Fields, 'View'], None]

MS = 1_000_000
TROUBLE_SHARE = 0.35
"""Part of the chunks that have something wrong with their form or their stamps."""
_SIZES_RAD = (0.003, 0.03, 0.03, 0.1, 0.1, 0.2, 0.35, 0.39, 1.0, 3.0)


@dataclass(frozen=True)
class View:
    """What an adversary knows."""

    names: tuple[str, ...]
    low: FloatArray
    high: FloatArray
    """(7,) ends of the joints [rad]."""
    home: FloatArray
    q: FloatArray
    """(7,) the last command, or where the arm is [rad]."""
    now_ns: int
    generation: int
    last: ActionChunk | None
    """The last chunk that was sent."""
    envelope: Envelope | None = None
    """Bounds of the task that is served."""
    goal: FloatArray | None = None
    """(7,) where the task leads, chunk after chunk [rad]; None: anywhere."""


# ---- the rows: where to ----


def _led(view: View, goal: FloatArray, n: int) -> FloatArray:
    """Return rows (n, 7) [rad] that lead straight to a goal, 0.35 rad each."""
    reach = goal - view.q
    count = np.arange(1, n + 1)[:, None]
    return view.q + reach * np.minimum(1.0, 0.35 * count / max(float(np.abs(reach).max()), 1e-9))


def _shape(rng: np.random.Generator, view: View, n: int) -> tuple[str, FloatArray]:
    """Return the name of a motion and its rows (n, 7) [rad]."""
    size = float(rng.choice(_SIZES_RAD))
    here = view.q if rng.random() < 0.85 else view.home
    way = rng.uniform(-1.0, 1.0, size=7)
    joint = int(rng.integers(7))
    count = np.arange(1, n + 1)[:, None]
    name = str(rng.choice(_SHAPES))
    if name == 'still':
        rows = np.tile(here + size * way, (n, 1))
    elif name == 'steps':
        rows = here + size * rng.choice([-1.0, 1.0], size=(n, 7))
    elif name == 'noise':
        rows = here + 0.5 * size * rng.normal(size=(n, 7))
    elif name == 'ramp':
        rows = here + 0.3 * size * count * way
    elif name == 'saw':
        rows = here + size * ((count % 3) - 1.0) * way
    elif name == 'wave':
        rows = here + size * np.sin(count * rng.uniform(0.1, 3.0)) * way
    elif name == 'one_joint':
        rows = np.tile(here, (n, 1))
        rows[:, joint] += size * rng.choice([-1.0, 1.0]) * count[:, 0] / n
    elif name == 'folded':
        reach = np.array(FOLDED[rng.integers(len(FOLDED))]) - here
        rows = here + reach * np.minimum(1.0, min(size, 0.39) * count / np.abs(reach).max())
    else:  # to an end: of one joint, or of all
        goal = np.where(rng.random(7) < 0.5, view.low, view.high)
        reach = np.clip(goal - here, -size, size)
        if name == 'end_of_one':
            reach = np.where(np.arange(7) == joint, reach, 0.0)
        rows = here + reach * np.minimum(1.0, count / rng.integers(1, n + 1))
    return name, rows


_SHAPES = (
    'still',
    'steps',
    'noise',
    'ramp',
    'saw',
    'wave',
    'one_joint',
    'end_of_one',
    'ends_of_all',
    'folded',
)


# ---- the troubles: what is wrong with it ----


def _not_a_number(rng: np.random.Generator, fields: Fields, view: View) -> None:
    actions = fields['actions'].copy()
    worst = rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e300, 1e17])
    actions[rng.integers(len(actions)), rng.integers(actions.shape[1])] = worst
    fields['actions'] = actions


def _other_type(rng: np.random.Generator, fields: Fields, view: View) -> None:
    kind = [np.int64, np.int8, np.float32, np.float16, np.bool_, np.complex128, object]
    with np.errstate(all='ignore'):
        fields['actions'] = fields['actions'].astype(kind[rng.integers(len(kind))])


def _other_shape(rng: np.random.Generator, fields: Fields, view: View) -> None:
    actions = fields['actions']
    fields['actions'] = [
        actions[:0],
        actions[:, :-1],
        actions[0],
        actions[:, :, None],
        np.hstack([actions, actions]),
    ][rng.integers(5)]


def _degrees(rng: np.random.Generator, fields: Fields, view: View) -> None:
    actions = fields['actions'].copy()
    actions[:, :7] = np.degrees(actions[:, :7])
    fields['actions'] = actions


def _millimetres(rng: np.random.Generator, fields: Fields, view: View) -> None:
    actions = fields['actions'].copy()
    actions[:, -1] *= 1000.0
    fields['actions'] = actions


def _names(rng: np.random.Generator, fields: Fields, view: View) -> None:
    names = list(fields['names'])
    rng.shuffle(names)
    fields['names'] = tuple(names)


def _space(rng: np.random.Generator, fields: Fields, view: View) -> None:
    fields['space'] = ActionSpace.EE_POSE


def _period(rng: np.random.Generator, fields: Fields, view: View) -> None:
    odd = (0.0, -0.1, np.nan, np.inf, 5e-324, 1e-9, 1e-4, 0.004, 0.01, 0.25, 0.2500001, 60.0)
    fields['period_s'] = float(rng.choice(odd))


def _late(rng: np.random.Generator, fields: Fields, view: View) -> None:
    late_ns = int(rng.choice([30, 120, 300, 499, 501, 900, 60_000])) * MS
    fields['stamp_ns'] -= late_ns
    if rng.random() < 0.5:
        fields['start_ns'] = fields['stamp_ns']


def _ahead(rng: np.random.Generator, fields: Fields, view: View) -> None:
    ahead_ns = int(rng.choice([5, 19, 21, 200, 3_600_000])) * MS
    fields[str(rng.choice(['stamp_ns', 'start_ns']))] += ahead_ns


def _nonsense_stamp(rng: np.random.Generator, fields: Fields, view: View) -> None:
    odd = (0, -1, 1, 2**62, 2**63 - 1, -(2**63))
    fields[str(rng.choice(['stamp_ns', 'start_ns']))] = odd[rng.integers(len(odd))]


def _repeated(rng: np.random.Generator, fields: Fields, view: View) -> None:
    if view.last is not None:
        fields['stamp_ns'] = view.last.stamp_ns
        fields['identity'] = view.last.identity


def _same_message(rng: np.random.Generator, fields: Fields, view: View) -> None:
    if view.last is not None:
        fields.update({name: getattr(view.last, name) for name in fields})


def _reordered(rng: np.random.Generator, fields: Fields, view: View) -> None:
    if view.last is not None:
        fields['stamp_ns'] = view.last.stamp_ns - int(rng.integers(1, 100 * MS))


def _old_generation(rng: np.random.Generator, fields: Fields, view: View) -> None:
    back = int(rng.choice([1, 2, 1000]))
    fields['identity'] = replace(fields['identity'], generation=view.generation - back)


def _bad_envelope(rng: np.random.Generator, fields: Fields, view: View) -> None:
    fields['envelope'] = draw_bad_envelope(rng)


TROUBLES: dict[str, Trouble] = {
    'not_a_number': _not_a_number,
    'other_type': _other_type,
    'other_shape': _other_shape,
    'degrees': _degrees,
    'millimetres': _millimetres,
    'names': _names,
    'space': _space,
    'period': _period,
    'late': _late,
    'ahead': _ahead,
    'nonsense_stamp': _nonsense_stamp,
    'repeated': _repeated,
    'same_message': _same_message,
    'reordered': _reordered,
    'old_generation': _old_generation,
    'bad_envelope': _bad_envelope,
}


def hostile_chunk(rng: np.random.Generator, view: View) -> tuple[str, Fields]:
    """Return what a chunk is called and the fields it is to be made of.

    Fields and not a chunk: some have a shape that no chunk can have, and making one of them
    raises, as it does where a message is read.
    """
    n = int(rng.choice([1, 2, 4, 8, 16, 40], p=[0.1, 0.1, 0.2, 0.4, 0.15, 0.05]))
    is_led = view.goal is not None and rng.random() < 0.9
    name, rows = _shape(rng, view, n)
    if view.goal is not None and is_led:
        n = min(n, 2)
        name, rows = 'led_into_itself', _led(view, view.goal, n)
    if rng.random() < 0.93:
        rows = np.clip(rows, view.low, view.high)
    width_m = float(rng.uniform(0.0, 0.08))
    fields: Fields = {
        'stamp_ns': view.now_ns,
        'start_ns': view.now_ns,
        'identity': Identity(
            task='hostile',
            package_digest='00',
            generation=view.generation,
            frame_stamps_ns=(view.now_ns,),
        ),
        'ledger': LatencyLedger(exposure=view.now_ns),
        'space': ActionSpace.JOINT_POSITION,
        'names': view.names,
        'period_s': float(rng.choice([0.1, 0.1, 0.05, 0.02, 0.2])),
        'actions': np.column_stack([rows, np.full(n, width_m)]),
        'envelope': view.envelope,
    }
    if rng.random() < TROUBLE_SHARE and not is_led:
        name = str(rng.choice(list(TROUBLES)))
        TROUBLES[name](rng, fields, view)
    return name, fields

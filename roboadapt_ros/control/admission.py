"""What a chunk must be before it may move the arm: its form, its stamps and its order.

Every refusal has a countable cause and a sentence for a person. Time is an argument. This
module imports numpy, `contract`, `dataflow` and `errors` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from roboadapt_ros.contract import ActionSpace
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.errors import ConfigError, RefusedError

ROWS_MAX = 256
GRIPPER_COLUMN = 'gripper_width'
"""Name of the last column of a joint chunk: distance between the fingers [m]."""


@dataclass(frozen=True, kw_only=True)
class AdmissionConfig:
    """What is refused."""

    max_observation_age_s: float = 0.5
    """Oldest exposure a chunk may answer to [s]; the task's own limit is checked before."""
    future_tolerance_s: float = 0.02
    """How far a stamp may lie ahead, for clocks of several machines [s]."""
    min_period_s: float = 0.001
    """Shortest spacing of rows [s]: far below any policy's, far above what overflows."""
    max_period_s: float = 0.25
    """Longest spacing of rows [s]; it also bounds the watchdog's two periods."""
    max_jump_rad: float = 0.4
    """Largest step of a joint [rad]: from the command and from the measured position to the
    row that is due, and from row to row."""
    max_push_m: float = 0.03
    """A row outside the workspace by no more than this [m] is moved to its side: a noisy
    policy just above a table must not stop at each row below it."""

    def __post_init__(self) -> None:
        """Check all are positive."""
        for name in (
            'max_observation_age_s',
            'future_tolerance_s',
            'min_period_s',
            'max_period_s',
            'max_jump_rad',
            'max_push_m',
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f'admission.{name}', getattr(self, name), 'must be positive')


class StreamGate:
    """Judges form, stamps and order of chunks.

    Example: after a chunk of generation 4 with stamp 10.0 s, one of generation 4 with 10.0 s
    is 'reordered', one of generation 3 is 'old_generation', one of generation 5 is fine.
    """

    def __init__(self, config: AdmissionConfig, names: tuple[str, ...]):
        """Start with nothing seen.

        Args:
            config: What is refused.
            names: Columns a chunk must have, in order.
        """
        self._config, self._names = config, names
        self._last: ActionChunk | None = None

    def reset(self) -> None:
        """Forget what was seen, so that a restarted encoder may count from the beginning."""
        self._last = None

    def note(self, chunk: ActionChunk) -> None:
        """Remember an accepted chunk."""
        self._last = chunk

    def check(self, chunk: ActionChunk, now_ns: int) -> None:
        """Refuse a chunk that is malformed, out of time or out of order.

        Args:
            chunk: The chunk.
            now_ns: Time now on the chunk's clock [ns].

        Raises:
            RefusedError: 'space', 'names', 'shape', 'nan', 'period', 'zero_stamp', 'future',
                'stale', 'old_generation' or 'reordered'.
        """
        config = self._config
        check_form(chunk, self._names, (config.min_period_s, config.max_period_s))
        check_stamps(
            chunk,
            now_ns,
            max_age_s=self._config.max_observation_age_s,
            future_tolerance_s=self._config.future_tolerance_s,
        )
        if self._last is not None:
            self._check_order(chunk, self._last)

    def _check_order(self, chunk: ActionChunk, last: ActionChunk) -> None:
        newest, now = last.identity.generation, chunk.identity.generation
        if now < newest:
            raise RefusedError('old_generation', f'generation {now} after generation {newest}')
        if now == newest and chunk.stamp_ns <= last.stamp_ns:
            behind_ms = (last.stamp_ns - chunk.stamp_ns) / 1e6
            raise RefusedError(
                'reordered', f'exposure is {behind_ms:.1f} ms behind (0: repeats) the last one'
            )


def check_stamps(
    chunk: ActionChunk, now_ns: int, *, max_age_s: float, future_tolerance_s: float
) -> None:
    """Refuse a chunk that answers to no, a coming or a too old exposure.

    Args:
        chunk: The chunk.
        now_ns: Time now on the chunk's clock [ns].
        max_age_s: Oldest exposure accepted [s].
        future_tolerance_s: How far a stamp may lie ahead [s].

    Raises:
        RefusedError: 'zero_stamp', 'future' or 'stale'.
    """
    if chunk.stamp_ns <= 0 or chunk.start_ns <= 0:
        raise RefusedError('zero_stamp', 'exposure and start must be stamped')
    age_s = (now_ns - chunk.stamp_ns) / 1e9
    ahead_s = max(-age_s, (chunk.start_ns - now_ns) / 1e9)
    if ahead_s > future_tolerance_s:
        raise RefusedError(
            'future', f'{ahead_s:.3f} s ahead of the clock; are the clocks synchronised?'
        )
    if age_s > max_age_s:
        raise RefusedError('stale', f'exposure is {age_s:.3f} s old, at most {max_age_s:g} s')
    late_s = (now_ns - chunk.start_ns) / 1e9 - len(chunk.actions) * chunk.period_s
    if late_s > 0:
        raise RefusedError('stale', f'the last row was due {late_s:.3f} s ago')


def check_form(chunk: ActionChunk, names: tuple[str, ...], periods_s: tuple[float, float]) -> None:
    """Refuse a chunk that is not a finite joint chunk with exactly these columns.

    Args:
        chunk: The chunk.
        names: Column names in order.
        periods_s: Shortest and longest spacing of rows [s].

    Raises:
        RefusedError: 'space', 'names', 'shape', 'nan' or 'period'.
    """
    if chunk.space is not ActionSpace.JOINT_POSITION:
        raise RefusedError('space', f'{chunk.space.value}, required joint_position')
    if chunk.names != names:
        raise RefusedError(
            'names', f'columns {", ".join(chunk.names)}; required {", ".join(names)}'
        )
    check_values(chunk, periods_s)


def check_values(chunk: ActionChunk, periods_s: tuple[float, float]) -> None:
    """Refuse a chunk without rows, with a bad period or with a value that is not finite.

    Raises:
        RefusedError: 'shape', 'nan' or 'period'.
    """
    actions = chunk.actions
    if len(actions) == 0 or not np.issubdtype(actions.dtype, np.floating):
        raise RefusedError(
            'shape', f'{actions.dtype} {actions.shape}, required (n, columns) float'
        )
    if len(actions) > ROWS_MAX:  # every row is judged before the next tick
        raise RefusedError('shape', f'{len(actions)} rows, required at most {ROWS_MAX}')
    shortest_s, longest_s = periods_s
    if not shortest_s <= chunk.period_s <= longest_s:
        raise RefusedError(
            'period', f'{chunk.period_s} s, required {shortest_s:g}..{longest_s:g} s'
        )
    finite = np.isfinite(actions)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        value = actions[row, column]
        raise RefusedError('nan', f'{chunk.names[column]} of row {row} is {value}')

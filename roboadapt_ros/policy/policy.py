"""Policies of several tasks behind one call: features and robot state to an action chunk.

The head, the normaliser and the contract are chosen by what the features say they are,
never by a notion of the current task held here. No torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from roboadapt_ros.adapters.package import TaskPackage
from roboadapt_ros.contract import ActionSpace
from roboadapt_ros.control.limits import JOINTS
from roboadapt_ros.dataflow import ActionChunk, EE_POSE_NAMES, Features, RobotState
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.policy.decode import (
    decode_actions,
    denormalise_actions,
    normalise_proprio,
    proprioception,
    require_supported,
)
from roboadapt_ros.policy.ensemble import TemporalEnsembler
from roboadapt_ros.policy.head import NumpyHead

VERSIONS = 2
"""Of a task, whose heads are held at once."""


@dataclass(frozen=True)
class _Policy:
    package: TaskPackage
    head: NumpyHead


class TaskPolicies:
    """Heads of the resident tasks and the ensembling of the active one's chunks."""

    def __init__(self, *, ensemble_chunks: int = 4, ensemble_decay: float = 0.5):
        """Start with no task; see `TemporalEnsembler` for the arguments."""
        self._policies: dict[str, OrderedDict[str, _Policy]] = {}
        """By task, then by package digest, least recently used first."""
        self._new_ensembler = partial(
            TemporalEnsembler, max_chunks=ensemble_chunks, decay=ensemble_decay
        )
        self._ensembler = self._new_ensembler()
        self._shadow_ensemblers: dict[str, TemporalEnsembler] = {}

    @property
    def resident(self) -> tuple[str, ...]:
        """Tasks that have a head here."""
        return tuple(sorted(self._policies))

    def has(self, task: str, digest: str) -> bool:
        """Return whether this version of a task's package has its head here."""
        return digest in self._policies.get(task, ())

    def add(self, package: TaskPackage) -> None:
        """Make a task's head resident beside the version used last; older ones leave.

        Both stay, for one may be active while the other rides along.

        Raises:
            ConfigError: The contract can't be decoded.
        """
        require_supported(package.contract)
        head = NumpyHead(package.manifest.head, package.part('head'))
        versions = self._policies.setdefault(package.task, OrderedDict())
        versions[package.digest] = _Policy(package, head)
        versions.move_to_end(package.digest)
        while len(versions) > VERSIONS:
            versions.popitem(last=False)

    def reset(self) -> None:
        """Forget earlier chunks, for instance at a new episode."""
        self._ensembler.reset()
        self._shadow_ensemblers.clear()

    def act(self, features: Features, state: RobotState, clock: Callable[[], int]) -> ActionChunk:
        """Return the chunk of absolute targets that answers to one set of features.

        Args:
            features: From the encoder.
            state: Robot state nearest to the exposure.
            clock: Returns the time of the stamps' clock [ns].

        Returns:
            Targets in space EE_POSE or JOINT_POSITION; row k is due k + 1 periods after the
            exposure.

        Raises:
            RefusedError: Unknown task ('unknown_task'), another version of its package
                ('digest') or a non-finite action ('nan').
            SpecError: Features of the wrong size or not finite.
        """
        return self._ensembler.add(self._decide(features, state, clock))

    def act_as_shadow(
        self, features: Features, state: RobotState, clock: Callable[[], int]
    ) -> ActionChunk:
        """As `act`, for a candidate that rides along; the active task's chunks are not touched."""
        chunk = self._decide(features, state, clock)
        task = features.identity.task
        return self._shadow_ensemblers.setdefault(task, self._new_ensembler()).add(chunk)

    def _decide(
        self, features: Features, state: RobotState, clock: Callable[[], int]
    ) -> ActionChunk:
        """Return the chunk of one set of features alone."""
        policy = self._policy(features)
        package = policy.package
        contract, normaliser = package.contract, package.manifest.normaliser
        proprio = normalise_proprio(normaliser, proprioception(contract, state))
        actions = denormalise_actions(normaliser, policy.head(features.values, proprio))
        if not np.isfinite(actions).all():
            raise RefusedError(
                'nan', f"the head of task '{package.task}' gave a non-finite action"
            )
        targets = decode_actions(contract, actions, state)
        is_joint = contract.action_space is ActionSpace.JOINT_POSITION
        return ActionChunk(
            stamp_ns=features.stamp_ns,
            identity=features.identity,
            ledger=features.ledger.stamped('head', clock()),
            space=ActionSpace.JOINT_POSITION if is_joint else ActionSpace.EE_POSE,
            names=_joint_names(contract.robot) if is_joint else EE_POSE_NAMES,
            period_s=contract.period_s,
            start_ns=features.stamp_ns,
            actions=targets,
            envelope=contract.envelope,
        )

    def _policy(self, features: Features) -> _Policy:
        """Return the policy the features ask for, or refuse."""
        identity = features.identity
        versions = self._policies.get(identity.task)
        if not versions:
            raise RefusedError(
                'unknown_task',
                f"features of task '{identity.task}', which has no head here. "
                f'Available: {", ".join(self.resident) or "none"}.',
            )
        policy = versions.get(identity.package_digest)
        if policy is None:
            heads = ', '.join(digest[:12] for digest in versions)
            raise RefusedError(
                'digest',
                f"features of task '{identity.task}' come from package "
                f'{identity.package_digest[:12]}, its head from {heads}; '
                'stage the same version in both',
            )
        versions.move_to_end(identity.package_digest)
        return policy


def _joint_names(robot: str) -> tuple[str, ...]:
    """Return the columns of a chunk of a robot's joints, as the bridge knows them."""
    return (*(f'{robot}_joint{i}' for i in range(1, JOINTS + 1)), 'gripper_width')

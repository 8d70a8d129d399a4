"""The closed loop in one process, on simulated time.

The same core as the graph's nodes, without ROS: frames and state from the simulated rig,
a chunk from a policy or an expert, the bridge, the governor at its own rate, targets to the
rig. `roboadapt collect` and `roboadapt eval --in-process` run it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import Contract
from roboadapt_ros.control.governor import Governor, GovernorConfig
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.dataflow import ActionChunk, RobotState
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.sim.impedance import contact_config
from roboadapt_ros.sim.rig import RigConfig, SimRig
from roboadapt_ros.sim2real.bridge import Bridge, BridgeConfig

SOURCE_WIDTH, SOURCE_HEIGHT = 192, 144
"""Size of the simulated rig's images [px]."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Timing of the loop."""

    latency_s: float = field(
        default=0.06,
        metadata={'help': 'from an exposure to its chunk at the governor', 'unit': 's'},
    )


@dataclass(frozen=True)
class Observation:
    """What a policy is given."""

    stamp_ns: int
    frames: dict[str, npt.NDArray[np.uint8]]
    """(height, width, 3) RGB by camera."""
    state: RobotState


def make_sim_rig(seed: int = 0) -> SimRig:
    """Return a rig with the image size the tasks are recorded at."""
    return SimRig(RigConfig(width=SOURCE_WIDTH, height=SOURCE_HEIGHT), seed=seed)


class ClosedLoop:
    """Simulated rig, bridge and governor, one policy period at a time."""

    def __init__(
        self,
        rig: SimRig,
        contract: Contract,
        config: LoopConfig | None = None,
        governor_config: GovernorConfig | None = None,
    ):
        """Build the bridge and the governor for a contract over `rig`."""
        self.rig = rig
        self.contract = contract
        self.config = config or LoopConfig()
        self.refusals: Counter[str] = Counter()
        limits = robot_limits('panda')
        self._kinematics = PandaKinematics()
        self._bridge = Bridge(
            BridgeConfig(robot='panda', joint_names=limits.joint_names), contract, self._kinematics
        )
        governor_config = governor_config or GovernorConfig(
            contact=contact_config(rig.config.impedance)
        )
        self._governor = Governor(governor_config, limits, self._kinematics)
        self._followed: ActionChunk | None = None
        self._commanded: npt.NDArray[np.float64] | None = None
        self._ticks = round(self._governor.config.rate_hz * contract.period_s)

    @property
    def now_ns(self) -> int:
        """Simulated time [ns], never 0."""
        return round((self.rig.time_s + 1.0) * 1e9)

    def reset(self, seed: int, latency_s: float | None = None) -> None:
        """Start a new episode; the governor starts from the measured state."""
        self.rig.reset(seed)
        self._governor.reset()
        self._bridge.reset()
        self._commanded = self._followed = None
        self.refusals.clear()
        if latency_s is not None:
            self.config = LoopConfig(latency_s=latency_s)

    def state(self) -> RobotState:
        """Return the measured state now."""
        state = self.rig.state()
        return RobotState(
            stamp_ns=self.now_ns,
            q=state.q,
            dq=state.dq,
            ee_position=state.ee_position,
            ee_quat_xyzw=state.ee_quat_xyzw,
            ee_commanded=state.ee_position if self._commanded is None else self._commanded,
            gripper_width_m=state.gripper_width_m,
        )

    def wanted_velocity(self) -> npt.NDArray[np.float64]:
        """Return the velocity of the followed end-effector chunk now, (3,) [m/s]."""
        chunk, half_ns = self._followed, 20_000_000
        if (
            chunk is None
            or self.now_ns > chunk.start_ns + len(chunk.actions) * chunk.period_s * 1e9
        ):
            return np.zeros(3)
        ahead, behind = (chunk.sample(self.now_ns + d)[:3] for d in (half_ns, -half_ns))
        return (ahead - behind) / (2e-9 * half_ns)

    def observe(self) -> Observation:
        """Expose every camera of the contract and read the state."""
        frames = {camera.name: self.rig.render(camera.name) for camera in self.contract.cameras}
        return Observation(self.now_ns, frames, self.state())

    def run_period(self, chunk: ActionChunk | None) -> None:
        """Run one policy period; `chunk` reaches the governor after the latency.

        A refused chunk is counted by cause and the governor goes on as on the rig.
        """
        latency_ticks = round(self.config.latency_s * self._governor.config.rate_hz)
        for tick in range(self._ticks):
            if tick == min(latency_ticks, self._ticks - 1) and chunk is not None:
                self._offer(chunk)
            self._tick()

    def _offer(self, chunk: ActionChunk) -> None:
        try:
            self._governor.accept(self._bridge.map(chunk, self.state()), self.now_ns)
            self._followed = chunk
        except RefusedError as error:
            self.refusals[error.cause] += 1

    def _tick(self) -> None:
        state = self.rig.state()
        self._governor.observe(state.q, state.dq, state.gripper_width_m, self.now_ns)
        command = self._governor.command(self.now_ns)
        self._commanded = None
        if command.q is not None:
            self._send(command.q)
        if command.gripper_width_m is not None:
            self.rig.set_gripper_target(command.gripper_width_m)
        self.rig.advance(1.0 / self._governor.config.rate_hz)

    def _send(self, q: npt.NDArray[np.float64]) -> None:
        """Send a point (7,) [rad] to the arm."""
        self._commanded = self._kinematics.forward(q)[0]
        self.rig.set_joint_target(q)

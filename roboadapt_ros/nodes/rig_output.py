"""What the simulated rig publishes: the topics of a Franka rig and of its cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from roboadapt_ros.nodes.fake_driver import FakeDriver
from roboadapt_ros.nodes.rig_faults import RigFaults
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.copies import stamped_copies
from roboadapt_ros.ros.diagnostics import Health, Level, to_status
from roboadapt_ros.ros.franka_state import ArmReport, StateWriter
from roboadapt_ros.ros.images import from_rgb
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import SimRigParameters
from roboadapt_ros.ros.qos import IMAGE, JOINTS_OUT, STATE, STATE_OUT, STATUS
from roboadapt_ros.ros.rig_messages import camera_info, finger_state, joint_state, pose
from roboadapt_ros.sim.driver_state import JOINT_BROADCASTER, ROBOT_BROADCASTER, Said
from roboadapt_ros.sim.franka import RobotMode
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.rig_state import RigState
from sensor_msgs.msg import CameraInfo, Image, JointState

FRANKA_STATE = 'franka_msgs/FrankaRobotState'
MERGED_HZ = 30.0
"""joint_state_publisher of franka_bringup."""


def sample_stamps(ages_ns: Sequence[int], now_ns: int, last_ns: int) -> list[int]:
    """Return a stamp [ns] for each sample of a tick, each later than the one before.

    A sample is as old as it says, where the tick comes when it is due. After a tick that was late
    there is less time than that since the last stamp: what there is, is shared alike.

    Example, two samples a tick, 5 ms apart, last stamp 100 ms: a tick at 110 ms gives 105 and
    110 ms, one that catches up at 104 ms gives 102 and 104 ms.

    Args:
        ages_ns: How long before the tick each was, oldest first; the last is 0.
        now_ns: Time of the tick.
        last_ns: Stamp of the sample before; later than `now_ns` where the clock was set back.
    """
    stamps = [now_ns - age_ns for age_ns in ages_ns]
    if stamps[0] > last_ns or now_ns <= last_ns:
        return stamps
    passed_ns, count = now_ns - last_ns, len(stamps)
    return [last_ns + passed_ns * (number + 1) // count for number in range(count)]


class RigOutput:
    """The publishers of a simulated rig.

    Example: at 100 Hz ``joints(samples, now_ns)`` and ``state(tick, now_ns)``, at 10 Hz
    ``cameras(now_ns)`` with the same stamp, so that every exposure has a joint state of its own
    moment. With a driver, ``joint_states`` and the robot's state are those of franka_ros2.
    """

    def __init__(
        self,
        node: GraphNode[SimRigParameters],
        config: SimRigParameters,
        rig: SimRig,
        faults: RigFaults,
        driver: FakeDriver | None,
        tick_s: float,
    ):
        """Create the publishers; they speak while the node is active.

        Raises:
            ConfigError: franka_msgs is asked for and not installed here.
        """
        self._node, self._config, self._rig, self._faults = node, config, rig, faults
        self._driver, self._tick_s = driver, tick_s
        self._mode, self._stamped_ns, self._reported_ns = RobotMode.IDLE, 0, 0
        self._seen, self._report = rig.state(), self._read()
        """What the driver has read last."""
        self.robot_errors = 0
        """Times the robot went into an error."""
        self._joints = node.publisher(JointState, 'joint_states', JOINTS_OUT)
        self._fingers = node.publisher(JointState, 'gripper/joint_states', STATE_OUT)
        self._pose = node.publisher(PoseStamped, 'current_pose', STATE)
        self._write_robot = self._diagnostic
        robot_type: type = DiagnosticStatus
        if config.robot_state_type == FRANKA_STATE:
            self._writer = StateWriter(config.joint_names, config.base_frame)
            self._write_robot, robot_type = self._franka, self._writer.message_type
        self._robot = node.publisher(robot_type, 'robot_state', STATUS)
        self._cameras = {
            name: (
                node.publisher(Image, f'cameras/{name}/image_raw', IMAGE),
                node.publisher(CameraInfo, f'cameras/{name}/camera_info', IMAGE),
            )
            for name in rig.camera_names
        }

    def joints(self, samples: Sequence[RigState], stamp_ns: int) -> None:
        """Publish the arm's joints, oldest first; the last state is of the time `stamp_ns`.

        Stamps never stand still or go back, unless the clock does.
        """
        said = self._says(JOINT_BROADCASTER)
        if said is Said.NOW:
            self._seen = samples[-1]
        ages_ns = [round((samples[-1].time_s - state.time_s) * 1e9) for state in samples]
        stamps_ns = sample_stamps(ages_ns, stamp_ns, self._stamped_ns)
        self._stamped_ns = stamp_ns
        if said is Said.NOTHING:
            return
        for sample, sample_ns in zip(samples, stamps_ns, strict=True):
            state = sample if said is Said.NOW else self._seen
            stamp, names = to_time(sample_ns), self._config.joint_names
            self._joints.publish(joint_state(stamp, names, state.q, state.dq, state.tau))

    def state(self, ticks: int, stamp_ns: int) -> None:
        """Publish what is due of the rest: fingers, pose, the robot's mode and errors.

        A change of the mode is published at once, where the broadcaster reports.

        Args:
            ticks: Ticks since the start, of `tick_s` each.
            stamp_ns: Time now [ns].
        """
        config, driver = self._config, self._driver
        if driver is not None:
            driver.state.update()
            if self._due(ticks, MERGED_HZ):
                driver.publish_merged(stamp_ns)
        said = self._says(ROBOT_BROADCASTER)
        if said is Said.NOW:
            self._report = self._read()
        if self._due(ticks, config.finger_rate_hz):
            width_m, names = self._rig.state().gripper_width_m, config.gripper_joint_names
            self._fingers.publish(finger_state(to_time(stamp_ns), names, width_m))
        due = self._due(ticks, config.robot_state_rate_hz)
        poses_due = self._due(ticks, config.pose_rate_hz)
        is_news = self._rig.mode is not self._mode
        self._note_mode()
        last_ns, self._reported_ns = self._reported_ns, stamp_ns
        if said is Said.NOTHING:
            return
        report = replace(self._report, stamp=to_time(stamp_ns))
        if poses_due:
            message = pose(report.stamp, config.base_frame, report.position, report.quat_xyzw)
            self._send(self._pose, message, self._stamps(poses_due, stamp_ns, last_ns))
        if due or is_news:
            stamps_ns = self._stamps(max(due, 1), stamp_ns, last_ns)
            self._send(self._robot, self._write_robot(report), stamps_ns)
            if due and driver is not None:
                for publisher, message in driver.messages(report):
                    self._send(publisher, message, stamps_ns)

    def cameras(self, stamp_ns: int) -> None:
        """Draw and publish every camera at this very moment."""
        stamp = to_time(stamp_ns)
        for name, (image_out, info_out) in self._cameras.items():
            picture, frame_id = self._faults.picture(name), f'{name}_optical_frame'
            if picture is None:
                continue
            image_out.publish(from_rgb(picture, stamp, frame_id))
            model = self._rig.camera_model(name)
            size, focal = (model.width, model.height), (model.fx, model.fy, model.cx, model.cy)
            info_out.publish(camera_info(size, focal, stamp, frame_id))

    def _due(self, ticks: int, rate_hz: float) -> int:
        """Return how many messages of some rate fall on this tick."""
        share = rate_hz * self._tick_s
        return int((ticks + 1) * share + 1e-9) - int(ticks * share + 1e-9)

    def _stamps(self, count: int, stamp_ns: int, last_ns: int) -> list[int]:
        """Return as many stamps [ns] as messages fall on this tick, the last of them now."""
        step_ns = self._tick_s * 1e9 / count
        ages_ns = [round(step_ns * before) for before in reversed(range(count))]
        return sample_stamps(ages_ns, stamp_ns, last_ns)

    def _send(self, publisher: Any, message: Any, stamps_ns: Sequence[int]) -> None:
        """Publish a message with each of several stamps, or once where it has none."""
        if len(stamps_ns) == 1 or not hasattr(message, 'header'):
            publisher.publish(message)
            return
        for data in stamped_copies(message, stamps_ns):
            publisher.publish(data)

    def _note_mode(self) -> None:
        rig = self._rig
        if rig.mode is not self._mode and rig.errors:
            self.robot_errors += 1
            self._node.get_logger().error(f'{rig.mode.name}: {", ".join(rig.errors)}')
        self._mode = rig.mode

    def _says(self, broadcaster: str) -> Said:
        return Said.NOW if self._driver is None else self._driver.state.says(broadcaster)

    def _diagnostic(self, report: ArmReport) -> DiagnosticStatus:
        mode, errors = RobotMode(report.mode), report.errors
        is_well = mode in (RobotMode.IDLE, RobotMode.MOVE)
        message = ', '.join(errors) or mode.name.lower()
        values = {'robot_mode': int(mode), 'current_errors': ' '.join(errors)}
        health = Health(Level.OK if is_well else Level.ERROR, message, values)
        return to_status('franka', health)

    def _franka(self, report: ArmReport) -> Any:
        return self._writer.message(report)

    def _read(self) -> ArmReport:
        """Return what a driver reads of the robot now; the stamp is for whoever sends it."""
        rig, state, driver = self._rig, self._rig.state(), self._driver
        return ArmReport(
            stamp=to_time(0),
            time_s=state.time_s,
            mode=int(rig.mode if driver is None else driver.state.mode),
            errors=rig.errors,
            last_errors=() if driver is None else driver.state.last_errors,
            q=state.q,
            dq=state.dq,
            tau=state.tau,
            q_desired=state.q_desired,
            tau_external=state.tau_external,
            force=rig.external_force(),
            position=state.ee_position,
            quat_xyzw=state.ee_quat_xyzw,
        )

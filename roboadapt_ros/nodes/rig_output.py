"""What the simulated rig publishes: the topics of a Franka rig and of its cameras."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from roboadapt_ros.nodes.parameters import SimRigParameters
from roboadapt_ros.nodes.rig_faults import RigFaults
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.diagnostics import Health, Level, to_status
from roboadapt_ros.ros.images import from_rgb
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.qos import IMAGE, STATE, STATE_OUT, STATUS
from roboadapt_ros.ros.rig_messages import camera_info, finger_state, joint_state, pose
from roboadapt_ros.sim.franka import RobotMode
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.rig_state import RigState
from sensor_msgs.msg import CameraInfo, Image, JointState


class RigOutput:
    """The publishers of a simulated rig.

    Example: at 100 Hz ``joints(samples, now_ns)`` and ``state(now_ns, fingers=tick % 5 == 0)``,
    at 10 Hz ``cameras(now_ns)`` with the same stamp, so that every exposure has a joint state of
    its own moment.
    """

    def __init__(
        self,
        node: GraphNode[SimRigParameters],
        config: SimRigParameters,
        rig: SimRig,
        faults: RigFaults,
    ):
        """Create the publishers; they speak while the node is active."""
        self._node, self._config, self._rig, self._faults = node, config, rig, faults
        self._mode = RobotMode.IDLE
        self.robot_errors = 0
        """Times the robot went into an error."""
        self._joints = node.publisher(JointState, 'joint_states', STATE_OUT)
        self._fingers = node.publisher(JointState, 'gripper/joint_states', STATE_OUT)
        self._pose = node.publisher(PoseStamped, 'current_pose', STATE)
        self._robot = node.publisher(DiagnosticStatus, 'robot_state', STATUS)
        self._cameras = {
            name: (
                node.publisher(Image, f'cameras/{name}/image_raw', IMAGE),
                node.publisher(CameraInfo, f'cameras/{name}/camera_info', IMAGE),
            )
            for name in rig.camera_names
        }

    def joints(self, samples: Sequence[RigState], stamp_ns: int) -> None:
        """Publish the arm's joints, oldest first; the last state is of the time `stamp_ns`."""
        for state in samples:
            age_ns = round((samples[-1].time_s - state.time_s) * 1e9)
            stamp, names = to_time(stamp_ns - age_ns), self._config.joint_names
            self._joints.publish(joint_state(stamp, names, state.q, state.dq, state.tau))

    def state(self, stamp_ns: int, *, fingers: bool, robot: bool) -> None:
        """Publish fingers and pose, and the robot's mode, where asked for.

        A change of the mode is published in any case.
        """
        config = self._config
        if fingers:
            state, stamp = self._rig.state(), to_time(stamp_ns)
            position, quat_xyzw = state.ee_position, state.ee_quat_xyzw
            self._pose.publish(pose(stamp, config.base_frame, position, quat_xyzw))
            names = config.gripper_joint_names
            self._fingers.publish(finger_state(stamp, names, state.gripper_width_m))
        if robot or self._rig.mode is not self._mode:
            self._publish_mode()

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

    def _publish_mode(self) -> None:
        rig = self._rig
        if rig.mode is not self._mode and rig.errors:
            self.robot_errors += 1
            self._node.get_logger().error(f'{rig.mode.name}: {", ".join(rig.errors)}')
        self._mode = rig.mode
        is_well = rig.mode in (RobotMode.IDLE, RobotMode.MOVE)
        message = ', '.join(rig.errors) or rig.mode.name.lower()
        values = {'robot_mode': int(rig.mode), 'current_errors': ' '.join(rig.errors)}
        health = Health(Level.OK if is_well else Level.ERROR, message, values)
        self._robot.publish(to_status('franka', health))

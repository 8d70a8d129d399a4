"""What franka_ros2 offers beside a controller's topic, on a simulated arm: names, types, QoS.

Publishes, relative to the rig's namespace:
    joint_states (sensor_msgs/JointState): arm and fingers, 30 Hz, reliable.
    franka_robot_state_broadcaster/{measured_joint_states, desired_joint_states,
        external_joint_torques} (sensor_msgs/JointState), external_wrench_in_base_frame and
        external_wrench_in_stiffness_frame (geometry_msgs/WrenchStamped), last_desired_pose
        (geometry_msgs/PoseStamped), desired_end_effector_twist (geometry_msgs/TwistStamped; zero,
        as under a controller of joints): best effort, depth 1, at `robot_state_rate_hz`.
    robot_description (std_msgs/String): URDF, latched, as robot_state_publisher does; with the
        published limits of the rig's robot.
    The robot's state, pose, joints and fingers: see `rig_output`.
Serves, where the packages are installed:
    franka_msgs: service_server/{set_full_collision_behavior, set_force_torque_collision_behavior,
        set_load, set_tcp_frame, set_stiffness_frame, set_joint_stiffness,
        set_cartesian_stiffness}, action_server/error_recovery; the hand: see `fake_hand`.
    controller_manager_msgs: controller_manager/{list_controllers, switch_controller,
        list_hardware_components, set_hardware_component_state}.
Settings other than collision thresholds are taken and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
import numpy as np
from rclpy.action import ActionServer
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import ConfigError, RoboAdaptError
from roboadapt_ros.nodes.fake_controllers import FakeControllerManager
from roboadapt_ros.nodes.fake_hand import FakeHand
from roboadapt_ros.nodes.sim_host import SimHost
from roboadapt_ros.ros.calls import interface_class
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.franka_state import ArmReport, in_hand, wrench
from roboadapt_ros.ros.qos import LATCHED, STATE, STATE_OUT
from roboadapt_ros.ros.rig_messages import joint_state, pose
from roboadapt_ros.sim.description import hand_frame, robot_description
from roboadapt_ros.sim.driver_state import DriverState, ROBOT_BROADCASTER
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String

_SERVER = 'service_server'
_TAKEN = (
    ('SetLoad', 'set_load'),
    ('SetTCPFrame', 'set_tcp_frame'),
    ('SetStiffnessFrame', 'set_stiffness_frame'),
    ('SetJointStiffness', 'set_joint_stiffness'),
    ('SetCartesianStiffness', 'set_cartesian_stiffness'),
)


class FakeDriver:
    """The driver's side of one simulated arm."""

    def __init__(self, host: SimHost):
        """Create the publishers; `serve` offers the rest."""
        node, config, lock = host.node, host.config, host.lock
        self._node, self._config, self._rig, self._lock = node, config, host.rig, lock
        self.state = DriverState(
            host.rig,
            config.controllers,
            config.hardware_component,
            is_humble=config.driver_release == 'humble',
        )
        self._hand = FakeHand(host)
        self._controllers = FakeControllerManager(node, self.state, config.joint_names, lock)
        self._merged = node.publisher(JointState, 'merged_joint_states', STATE_OUT)
        self._joints = {
            leaf: node.publisher(JointState, f'{ROBOT_BROADCASTER}/{leaf}', STATE)
            for leaf in ('measured_joint_states', 'desired_joint_states', 'external_joint_torques')
        }
        self._wrench, self._hand_wrench, self._desired, self._twist = (
            node.publisher(kind, f'{ROBOT_BROADCASTER}/{leaf}', STATE)
            for kind, leaf in (
                (WrenchStamped, 'external_wrench_in_base_frame'),
                (WrenchStamped, 'external_wrench_in_stiffness_frame'),
                (PoseStamped, 'last_desired_pose'),
                (TwistStamped, 'desired_end_effector_twist'),
            )
        )
        self._kinematics = PandaKinematics()
        self._hand_frame = hand_frame(config.joint_names)
        self._description = node.publisher(String, 'robot_description', LATCHED)

    def serve(self) -> None:
        """Describe the arm; offer what the installed packages allow, say what is left out."""
        config, limits = self._config, robot_limits(self._config.robot)
        names, fingers = config.joint_names, config.gripper_joint_names
        urdf = robot_description(limits, names, fingers, config.base_frame)
        self._description.publish(String(data=urdf))
        for what, offer in (
            ('services and error recovery', self._serve_robot),
            ('franka_gripper', self._hand.serve),
            ('controller_manager', self._controllers.serve),
        ):
            try:
                offer()
            except ConfigError as error:
                self._node.get_logger().warning(f'Without {what}: {error}')

    def publish_merged(self, stamp_ns: int) -> None:
        """Publish arm and fingers in one message, as joint_state_publisher does."""
        state, config = self._rig.state(), self._config
        fingers = np.full(2, 0.5 * state.gripper_width_m)
        names = (*config.joint_names, *config.gripper_joint_names)
        q, rest = np.concatenate([state.q, fingers]), np.zeros(2)
        dq, tau = np.concatenate([state.dq, rest]), np.concatenate([state.tau, rest])
        self._merged.publish(joint_state(to_time(stamp_ns), names, q, dq, tau))

    def messages(self, state: ArmReport) -> Iterator[tuple[Any, Any]]:
        """Yield publishers and messages of what the broadcaster offers for convenience."""
        stamp, names = state.stamp, self._config.joint_names
        zeros = np.zeros(len(names))
        for leaf, q, dq, tau in (
            ('measured_joint_states', state.q, state.dq, state.tau),
            ('desired_joint_states', state.q_desired, zeros, zeros),
            ('external_joint_torques', zeros, zeros, state.tau_external),
        ):
            yield self._joints[leaf], joint_state(stamp, names, q, dq, tau)
        base = self._config.base_frame
        yield self._wrench, wrench(stamp, base, state.force)
        yield self._hand_wrench, wrench(stamp, self._hand_frame, in_hand(state))
        yield self._desired, pose(stamp, base, *self._kinematics.forward(state.q_desired))
        yield self._twist, TwistStamped(header=Header(stamp=stamp, frame_id=base))

    def _serve_robot(self) -> None:
        """Offer settings and error recovery; raises `ConfigError` without franka_msgs."""
        recovery = interface_class('franka_msgs/action/ErrorRecovery')
        full = interface_class('franka_msgs/srv/SetFullCollisionBehavior')
        nominal = interface_class('franka_msgs/srv/SetForceTorqueCollisionBehavior')
        serve = self._node.serve
        serve(full, f'{_SERVER}/set_full_collision_behavior', self._on_collision)
        serve(nominal, f'{_SERVER}/set_force_torque_collision_behavior', self._on_collision)
        for kind, leaf in _TAKEN:
            serve(
                interface_class(f'franka_msgs/srv/{kind}'), f'{_SERVER}/{leaf}', self._on_setting
            )
        server = ActionServer(
            self._node, recovery, 'action_server/error_recovery', self._on_recovery(recovery)
        )
        self._node.destroy_with_active(lambda made: made.destroy(), server)

    def _on_collision(self, request: Any, response: Any) -> Any:
        def change() -> None:
            torque = tuple(map(float, request.upper_torque_thresholds_nominal))
            self._rig.set_collision(
                torque, tuple(map(float, request.upper_force_thresholds_nominal))
            )

        return self._answer(response, change)

    def _on_setting(self, _: Any, response: Any) -> Any:
        return self._answer(response, lambda: None)

    def _answer(self, response: Any, change: Callable[[], None]) -> Any:
        """Change something where the robot is idle; it refuses otherwise."""
        response.success = False
        with self._lock:
            if self.state.is_commanded:
                response.error = 'the robot is not idle: a controller commands it'
                return response
            try:
                change()
                response.success = True
            except RoboAdaptError as error:
                response.error = str(error)
        return response

    def _on_recovery(self, kind: Any) -> Callable[[Any], Any]:
        def execute(goal: Any) -> Any:
            try:
                with self._lock:
                    self.state.recover()
                goal.succeed()
            except RoboAdaptError as error:
                self._node.get_logger().warning(f'Not recovered: {error}')
                goal.abort()
            return kind.Result()

        return execute

"""Looks at a running graph for the doctor: listens and asks, and never publishes or commands."""

from __future__ import annotations

import importlib
import os
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from roboadapt_interfaces.msg import ActionChunk, AdapterStatus
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.bringup.endpoints import node_names, own_guid, read_topics, service_names
from roboadapt_ros.bringup.names import full_name
from roboadapt_ros.bringup.observed import (
    to_arm,
    to_controllers,
    to_first_action,
    to_hardware,
    to_picture,
)
from roboadapt_ros.bringup.processes import info_topic
from roboadapt_ros.bringup.rig import RigConfig
from roboadapt_ros.bringup.rig_facts import image_topic
from roboadapt_ros.doctor.description import joint_limits, link_names
from roboadapt_ros.doctor.facts import (
    ArmState,
    Controller,
    FirstAction,
    GraphFacts,
    Picture,
    Report,
    Stream,
    StreamRule,
)
from roboadapt_ros.errors import BringupError, ConfigError
from roboadapt_ros.ros.probe import Probe
from roboadapt_ros.ros.qos import IMAGE, STATE_HISTORY
from roboadapt_ros.ros.robot import message_class
from roboadapt_ros.ros.robot_state import ROBOT_STATES
from roboadapt_ros.sim2real.frame import BaseFrame
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String

DISCOVERY_S = 2.0
"""Time given to nodes to be found [s]."""
SERVICE_S = 2.0
_LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class Examiner(Connection):
    """Gathers the facts of a rig's graph.

    Example::

        with Examiner(rig, domain_id=7) as examiner:
            facts = examiner.look(stream_rules(rig, None), seconds=3.0)
    """

    def __init__(self, rig: RigConfig, *, domain_id: int | None = None):
        """Prepare; entering the context joins the graph."""
        super().__init__(namespace=rig.namespace, domain_id=domain_id, images=True)
        self._rig = rig
        self._probes: dict[str, Probe] = {}
        self._reports: dict[str, Report] = {}

    def look(self, rules: tuple[StreamRule, ...], *, seconds: float) -> GraphFacts:
        """Return what is seen of the graph.

        Args:
            rules: Streams to measure.
            seconds: How long to listen [s], after the nodes have been found.
        """
        self._listen(rules)
        self._await_publishers([rule.topic for rule in rules])
        for probe in self._probes.values():
            probe.begin()
        time.sleep(seconds)
        streams = tuple(self._stream(rule, seconds) for rule in rules)
        topics = read_topics(self._node, [rule.topic for rule in rules])
        controllers, reason, fix = self._controllers()
        hardware = None if controllers is None else self._hardware()
        status = self._newest(self._name('encoder/status'))
        description = self._newest(self._name(self._rig.arm.robot_description))
        return GraphFacts(
            domain=os.environ.get('ROS_DOMAIN_ID') or '0',
            seconds=seconds,
            nodes=node_names(self._node),
            topics=topics,
            services=service_names(self._node),
            streams=streams,
            pictures=self._pictures(),
            arm=self._arm(),
            robot_problem=self._robot_problem(),
            first_action=self._first_action(),
            active_task=None if status is None else str(status.active_task),
            base_intact=True if status is None else bool(status.base_intact),
            controllers=controllers,
            controllers_reason=reason,
            controllers_fix=fix,
            hardware=hardware,
            urdf_limits={} if description is None else joint_limits(description.data),
            urdf_links=frozenset() if description is None else link_names(description.data),
            reports=dict(self._reports),
            own_guid=own_guid(self._node, rules[0].topic),
        )

    # ---- listening ----

    def _listen(self, rules: tuple[StreamRule, ...]) -> None:
        rig, arm = self._rig, self._rig.arm
        image = CompressedImage if rig.compressed else Image
        self._probe(JointState, arm.joint_states, STATE_HISTORY)
        self._probe(JointState, rig.gripper.joint_states, STATE_HISTORY)
        if arm.current_pose:
            self._probe(PoseStamped, arm.current_pose, STATE_HISTORY)
        if arm.robot_state_type in ROBOT_STATES:
            try:
                kind = message_class(arm.robot_state_type)
            except ConfigError:
                pass  # reported as a missing package
            else:
                self._probe(kind, arm.robot_state, STATE_HISTORY)
        for camera in rig.cameras:
            self._probe(image, image_topic(rig, camera.image), IMAGE)
            self._probe(CameraInfo, info_topic(camera), IMAGE)
        self._probe(ActionChunk, 'policy/action_chunk', STATE_HISTORY)
        self._probe(AdapterStatus, 'encoder/status', STATE_HISTORY)
        self._probe(String, arm.robot_description, _LATCHED)
        self.watch(DiagnosticArray, '/diagnostics', self._on_diagnostics, STATE_HISTORY)

    def _probe(self, kind: type, topic: str, qos: QoSProfile) -> None:
        name = self._name(topic)
        if name not in self._probes:
            self._probes[name] = Probe(self._node, kind, name, qos)

    def _await_publishers(self, topics: list[str]) -> None:
        deadline_s = time.monotonic() + DISCOVERY_S
        while time.monotonic() < deadline_s:
            time.sleep(0.1)
            if all(self._node.count_publishers(topic) for topic in topics):
                break
        time.sleep(0.5)  # for what comes once a second, and for the other endpoints

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            level = int.from_bytes(status.level, 'little')
            self._reports[status.name] = Report(level=level, message=status.message)

    def _name(self, topic: str) -> str:
        return full_name(self._rig, topic)

    def _newest(self, name: str) -> Any | None:
        probe = self._probes.get(name)
        return None if probe is None else probe.newest()

    # ---- what came ----

    def _stream(self, rule: StreamRule, seconds: float) -> Stream:
        probe = self._probes.get(rule.topic)
        if probe is None:
            return Stream(rule=rule, seconds=seconds)
        samples = probe.samples()
        return Stream(
            rule=rule,
            seconds=seconds,
            received_ns=tuple(received for received, _ in samples),
            stamps_ns=tuple(stamp for _, stamp in samples) if probe.has_stamp else None,
        )

    def _pictures(self) -> dict[str, Picture]:
        found = {}
        for camera in self._rig.cameras:
            message = self._newest(image_topic(self._rig, camera.image))
            if message is not None:
                info = self._newest(self._name(info_topic(camera)))
                found[camera.name] = to_picture(camera.name, message, info)
        return found

    def _arm(self) -> ArmState | None:
        message = self._newest(self._name(self._rig.arm.joint_states))
        if message is None:
            return None
        pose = self._newest(self._name(self._rig.arm.current_pose))
        return to_arm(self._rig.arm.joint_names, message, pose)

    def _robot_problem(self) -> str | None:
        message = self._newest(self._name(self._rig.arm.robot_state))
        if message is None:
            return None
        return ROBOT_STATES[self._rig.arm.robot_state_type](message).problem

    def _first_action(self) -> FirstAction | None:
        message = self._newest(self._name('policy/action_chunk'))
        if message is None:
            return None
        base = self._rig.nodes.get('sim2real', {})
        frame = BaseFrame(base.get('base_offset_m', (0.0,) * 3), base.get('base_yaw_rad', 0.0))
        return to_first_action(message, frame)

    def _controllers(self) -> tuple[tuple[Controller, ...] | None, str, str]:
        """Return the controllers; or None, why they are not known, and what would help."""
        if not self._rig.controller_manager:
            return None, 'the rig file names no controller manager', ''
        try:
            answer = self._ask_manager('ListControllers', 'list_controllers')
        except ImportError:
            fix = 'sudo apt install ros-$ROS_DISTRO-controller-manager-msgs, or look yourself: '
            fix += 'ros2 control list_controllers'
            return None, 'controller_manager_msgs is not installed', fix
        except BringupError:
            name = self._name(f'{self._rig.controller_manager}/list_controllers')
            fix = 'start the driver of the arm, or correct `namespace` in the rig file: '
            fix += 'ros2 service list | grep list_controllers'
            return None, f'{name} does not answer', fix
        return to_controllers(answer), '', ''

    def _hardware(self) -> dict[str, str] | None:
        """Return the hardware components and their states; None where nobody needs to know."""
        if not self._rig.arm.recovery.hardware_component:
            return None
        try:
            answer = self._ask_manager('ListHardwareComponents', 'list_hardware_components')
        except (ImportError, BringupError):
            return None
        return to_hardware(answer)

    def _ask_manager(self, kind: str, leaf: str) -> Any:
        """Return the controller manager's answer; raises `ImportError` and `BringupError`."""
        service = getattr(importlib.import_module('controller_manager_msgs.srv'), kind)
        name = self._name(f'{self._rig.controller_manager}/{leaf}')
        return self.call(service, name, service.Request(), SERVICE_S, repeat=True)

"""A rig file as the doctor reads it. This module must not import rclpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from roboadapt_ros.bringup.names import full_name
from roboadapt_ros.bringup.processes import process_list
from roboadapt_ros.bringup.rig import RigConfig
from roboadapt_ros.bringup.rig_calls import called_services, has_setup, imported_packages
from roboadapt_ros.contract import Contract
from roboadapt_ros.doctor.facts import CameraFacts, RigFacts, StreamRule
from roboadapt_ros.ros.node_parameters import EncoderParameters, GovernorParameters

ARM_HZ, ARM_AGE_S = 50.0, 0.1
"""Joint states: the rig file asks for this rate; the gate maps with none older."""
GRIPPER_HZ, GRIPPER_AGE_S = 5.0, 0.5
ROBOT_STATE_HZ = 2.0
"""The gate takes a robot that is silent for a second for one that can't move."""
POSE_HZ = 1.0
CAMERA_HZ = 5.0
"""Where no task is named."""


def image_topic(rig: RigConfig, topic: str) -> str:
    """Return the topic a camera is listened to on."""
    return full_name(rig, topic + ('/compressed' if rig.compressed else ''))


def rig_facts(rig: RigConfig, name: str, **models: Any) -> RigFacts:
    """Return what a rig promises.

    Args:
        rig: The rig file.
        name: Its name or path.
        models: As `process_list` takes it.

    Raises:
        RoboAdaptError: The rig does not give a list of processes.
    """
    arm = rig.arm
    return RigFacts(
        name=name,
        simulated=rig.simulated,
        robot=rig.robot,
        joint_names=arm.joint_names,
        joint_states=full_name(rig, arm.joint_states),
        command=full_name(rig, arm.output.topic),
        gripper_command=full_name(rig, rig.gripper.command) if rig.gripper.command else '',
        packages=imported_packages(rig),
        services=tuple(
            replace(service, name=full_name(rig, service.name)) for service in called_services(rig)
        ),
        controllers=arm.controllers,
        controller_manager=full_name(rig, rig.controller_manager or 'controller_manager'),
        hardware_component=arm.recovery.hardware_component,
        setup=full_name(rig, 'governor/setup') if has_setup(rig) else '',
        base_frame=arm.base_frame,
        ee_frame=arm.ee_frame,
        pose_tolerance_m=arm.pose_tolerance_m,
        pose_tolerance_rad=arm.pose_tolerance_rad,
        robot_state_type=arm.robot_state_type,
        cameras=tuple(
            CameraFacts(
                name=camera.name,
                topic=image_topic(rig, camera.image),
                has_driver=bool(camera.driver),
            )
            for camera in rig.cameras
        ),
        nodes=tuple(process.full_name for process in process_list(rig, **models)),
        workspace_m=_workspace(rig),
    )


def stream_rules(rig: RigConfig, contract: Contract | None) -> tuple[StreamRule, ...]:
    """Return what the topics of a rig have to be like for a task, or for any (None)."""
    arm, gripper = rig.arm, rig.gripper
    rules = [
        StreamRule(
            topic=full_name(rig, arm.joint_states),
            role='joint states of the arm',
            minimum_hz=max(ARM_HZ, 0.5 * arm.joint_states_hz),
            max_age_s=ARM_AGE_S,
        ),
        StreamRule(
            topic=full_name(rig, gripper.joint_states),
            role='joint states of the hand',
            minimum_hz=max(GRIPPER_HZ, 0.5 * gripper.joint_states_hz),
            max_age_s=GRIPPER_AGE_S,
        ),
    ]
    if arm.robot_state:
        rules.append(
            StreamRule(
                topic=full_name(rig, arm.robot_state),
                role='error state of the robot',
                minimum_hz=ROBOT_STATE_HZ,
                max_age_s=None,
            )
        )
    if arm.current_pose:
        rules.append(
            StreamRule(
                topic=full_name(rig, arm.current_pose),
                role='pose of the hand',
                minimum_hz=POSE_HZ,
                max_age_s=None,
            )
        )
    return (*rules, *_camera_rules(rig, contract))


def _camera_rules(rig: RigConfig, contract: Contract | None) -> list[StreamRule]:
    encoder = rig.nodes.get('encoder', {})
    max_age_s = encoder.get('max_frame_age_s', EncoderParameters.max_frame_age_s)
    rate_hz = CAMERA_HZ
    if contract is not None:
        max_age_s, rate_hz = min(max_age_s, contract.max_observation_age_s), contract.rate_hz
    return [
        StreamRule(
            topic=image_topic(rig, camera.image),
            role=f"camera '{camera.name}'",
            minimum_hz=max(rate_hz, 0.5 * camera.rate_hz),
            max_age_s=max_age_s,
            is_camera=True,
        )
        for camera in rig.cameras
    ]


def _workspace(rig: RigConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the corners of the governor's box [m]."""
    governor = rig.nodes.get('governor', {})
    return (
        governor.get('workspace_low_m', GovernorParameters.workspace_low_m),
        governor.get('workspace_high_m', GovernorParameters.workspace_high_m),
    )

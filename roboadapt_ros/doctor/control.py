"""The arm: joints, limits, frames, errors, and the controllers that would move it."""

from __future__ import annotations

import numpy as np
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.doctor.controllers import check_controllers
from roboadapt_ros.doctor.facts import ArmState, GraphFacts, RigFacts
from roboadapt_ros.doctor.finding import Finding, info, ok, Severity, skipped
from roboadapt_ros.doctor.frames import check_frames

NEAR_RAD = 0.1
"""A joint this near to its limit has no room for a task [rad]."""
LIMIT_TOLERANCE = 1e-3


def check_control(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Return what the arm and its controllers say."""
    findings = [*_robot(graph), *_base(graph), *check_controllers(rig, graph)]
    if graph.arm is None:
        reason = f'no joint state came on {rig.joint_states}'
        return [*findings, skipped('joints', rig.joint_states, reason)]
    findings += [*_joints(rig, graph.arm), *_limits(rig, graph)]
    return [*findings, *check_frames(rig, graph.arm, graph.urdf_links)]


def _robot(graph: GraphFacts) -> list[Finding]:
    if graph.robot_problem is None:
        return []
    return [
        Finding(
            check='robot_error',
            subject='robot',
            severity=Severity.ERROR,
            found=graph.robot_problem,
            rule='the arm is idle or moving, without errors',
            fix="remove the cause, release the user stop, then 'roboadapt recover'; before the "
            'graph is up: ros2 action send_goal /action_server/error_recovery '
            'franka_msgs/action/ErrorRecovery "{}"',
        )
    ]


def _base(graph: GraphFacts) -> list[Finding]:
    if graph.active_task is None:
        return []
    if graph.base_intact:
        return [ok('base', 'encoder', f"intact; serving '{graph.active_task or 'no task'}'")]
    return [
        Finding(
            check='base',
            subject='encoder',
            severity=Severity.ERROR,
            found="the backbone's tensors or probe features have changed",
            rule='adapters are served over the base they were trained on, bit for bit',
            fix='roboadapt backbones verify; then start the graph again',
        )
    ]


def _joints(rig: RigFacts, arm: ArmState) -> list[Finding]:
    """Judge the names in joint states."""
    if arm.q is None:
        missing = [name for name in rig.joint_names if name not in arm.names]
        return [
            Finding(
                check='joints',
                subject=rig.joint_states,
                severity=Severity.ERROR,
                found=f'{", ".join(arm.names)}: without {", ".join(missing) or "positions"}',
                rule=f'the rig file names {", ".join(rig.joint_names)}',
                fix='correct arm.joint_names (franka_ros2: <arm_prefix><robot_type>_joint1 ..) or '
                'the topic in the rig file',
            )
        ]
    order = [name for name in arm.names if name in rig.joint_names]
    if tuple(order) != rig.joint_names:
        text = f'they come as {", ".join(order)}; joints are read by name, so that is no matter'
        return [info('joints', rig.joint_states, text)]
    return [ok('joints', rig.joint_states, f'{order[0]} .. {order[-1]}')]


def _limits(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Judge the pose against the robot's limits, and the limits against its description."""
    limits, findings = robot_limits(rig.robot), []
    q = graph.arm.q if graph.arm is not None else None
    if q is not None:
        room = np.minimum(q - limits.q_min, limits.q_max - q)
        joint = int(np.argmin(room))
        found = f'{rig.joint_names[joint]} is {room[joint]:+.2f} rad from its limit'
        if not room[joint] >= NEAR_RAD:  # so that a NaN is no good pose
            findings.append(
                Finding(
                    check='limits',
                    subject=rig.joint_names[joint],
                    severity=Severity.WARNING if room[joint] >= 0 else Severity.ERROR,
                    found=found,
                    rule=f'{limits.q_min[joint]:g} to {limits.q_max[joint]:g} rad for '
                    f"'{rig.robot}', with {NEAR_RAD:g} rad to spare",
                    fix='move the arm by hand (or in Desk) away from the limit; check `robot` in '
                    'the rig file',
                )
            )
        else:
            findings.append(ok('limits', rig.robot, found))
    return [*findings, *_description(rig, graph)]


def _description(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Judge whether the robot description allows less than the table of limits."""
    limits, narrower = robot_limits(rig.robot), []
    for index, name in enumerate(rig.joint_names):
        if name not in graph.urdf_limits:
            continue
        low, high, speed = graph.urdf_limits[name]
        if low > limits.q_min[index] + LIMIT_TOLERANCE:
            narrower.append(f'{name} from {low:g} (here {limits.q_min[index]:g}) rad')
        if high < limits.q_max[index] - LIMIT_TOLERANCE:
            narrower.append(f'{name} to {high:g} (here {limits.q_max[index]:g}) rad')
        if 0 < speed < limits.dq_max[index] - LIMIT_TOLERANCE:
            narrower.append(f'{name} {speed:g} (here {limits.dq_max[index]:g}) rad/s')
    if not graph.urdf_limits:
        return [skipped('limits', 'robot_description', 'none is published')]
    if not narrower:
        return [ok('limits', 'robot_description', f"allows what the table of '{rig.robot}' does")]
    return [
        Finding(
            check='limits',
            subject='robot_description',
            severity=Severity.WARNING,
            found='; '.join(narrower),
            rule='the description allows what the table of the arm does',
            fix='check `robot` in the rig file; where the description is right, keep tasks away '
            'from the ends of these joints: the governor keeps the narrower limits',
        )
    ]

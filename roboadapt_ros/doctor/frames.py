"""Where the hand is: by the joints, by the rig's own report, in which frames, in which box."""

from __future__ import annotations

import numpy as np
from roboadapt_ros.control.pose_check import pose_distance
from roboadapt_ros.doctor.facts import ArmState, RigFacts
from roboadapt_ros.doctor.finding import Finding, ok, Severity, skipped

NO_TURN = np.array([0.0, 0.0, 0.0, 1.0])


def check_frames(rig: RigFacts, arm: ArmState, links: frozenset[str]) -> list[Finding]:
    """Return what hand and frames say.

    Args:
        rig: What the rig file promises.
        arm: The newest joint state and pose.
        links: Links of the robot description, none where it is not known.
    """
    return [*_hand(rig, arm), *_links(rig, links)]


def _hand(rig: RigFacts, arm: ArmState) -> list[Finding]:
    """Judge where the hand is, and whether the rig says so too."""
    findings = []
    if arm.hand_m is not None:
        findings.append(_workspace(rig, arm.hand_m))
    if arm.reported_hand_m is None:
        reason = "the rig's pose of the hand was not seen"
        return [*findings, skipped('frame', 'hand', reason, 'arm.current_pose in the rig file')]
    if arm.hand_m is None:
        return findings
    turn = arm.hand_quat_xyzw if arm.hand_quat_xyzw is not None else NO_TURN
    reported = arm.reported_quat_xyzw if arm.reported_quat_xyzw is not None else turn
    apart = pose_distance((arm.reported_hand_m, reported), (arm.hand_m, turn))
    found = (
        f'{1e3 * apart.position_m:.1f} mm and {apart.rotation_rad:.3f} rad between current_pose '
        f'({arm.pose_frame}) and the joints'
    )
    most_m, most_rad = rig.pose_tolerance_m, rig.pose_tolerance_rad
    if apart.position_m <= most_m and apart.rotation_rad <= most_rad:
        return [*findings, ok('frame', 'hand', found)]
    return [
        *findings,
        Finding(
            check='frame',
            subject='hand',
            severity=Severity.ERROR,
            found=found,
            rule=f'within {1e3 * most_m:g} mm and {most_rad:g} rad, both for the TCP of the '
            "Franka hand in the arm's base frame; the governor moves nothing before",
            fix='set the end effector to Franka Hand in Desk (or call '
            'service_server/set_tcp_frame), and let current_pose be in the base frame',
        ),
    ]


def _links(rig: RigFacts, links: frozenset[str]) -> list[Finding]:
    """Judge whether the frames of the rig file are links of the robot description."""
    if not links:
        return []
    missing = [name for name in (rig.base_frame, rig.ee_frame) if name]
    missing = [name for name in missing if name not in links]
    if not missing:
        return [ok('frame', 'robot_description', 'has the frames of the rig file')]
    return [
        Finding(
            check='frame',
            subject='robot_description',
            severity=Severity.WARNING,
            found=f'has no link {", ".join(missing)}',
            rule='poses and twists are sent in arm.base_frame, and mean arm.ee_frame',
            fix='correct the names in the rig file: ros2 run tf2_tools view_frames',
        )
    ]


def _workspace(rig: RigFacts, hand_m: np.ndarray) -> Finding:
    low, high = np.array(rig.workspace_m[0]), np.array(rig.workspace_m[1])
    text = ', '.join(f'{value:.3f}' for value in hand_m)
    found = f'the hand is at ({text}) m'
    if ((hand_m >= low) & (hand_m <= high)).all():
        return ok('workspace', 'governor', found)
    return Finding(
        check='workspace',
        subject='governor',
        severity=Severity.WARNING,
        found=found,
        rule=f'the governor keeps it between {rig.workspace_m[0]} and {rig.workspace_m[1]} m',
        fix='move the hand into the box, or widen nodes.governor.workspace_low_m and '
        'workspace_high_m in the rig file',
    )

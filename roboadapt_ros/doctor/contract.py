"""The rig held against a task's contract: robot, cameras, colours, where the task begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import CameraContract, Contract
from roboadapt_ros.doctor.colours import colours_look_swapped, Rgb
from roboadapt_ros.doctor.facts import ArmState, FirstAction, GraphFacts, Picture, RigFacts
from roboadapt_ros.doctor.finding import Finding, info, ok, Severity, skipped

NO_COLOUR_ENCODINGS = ('mono8', 'mono16', '8UC1', '16UC1')
NAMELESS_ENCODINGS = ('8UC3',)
FOCAL_TOLERANCE = 0.05
STEP_WARN_M, STEP_ERROR_M = 0.05, 0.2
STEP_WARN_RAD, STEP_ERROR_RAD = 0.2, 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskFacts:
    """A task and what its package has of the cameras."""

    name: str
    contract: Contract
    references: Mapping[str, Rgb] = field(default_factory=dict)
    """Camera -> (H, W, 3) uint8 RGB, what it saw in training, cropped."""


def check_contract(rig: RigFacts, graph: GraphFacts, task: TaskFacts | None) -> list[Finding]:
    """Return what a task asks of a rig; without a task only what holds for all."""
    findings = []
    for camera in rig.cameras:
        picture = graph.pictures.get(camera.name)
        if picture is not None:
            findings += _picture(camera.name, picture)
    if task is None:
        findings.append(skipped('contract', 'task', 'no task was named', '--task TASK'))
    else:
        findings += [_robot(rig, task), *_cameras(rig, graph, task)]
    findings.append(_first_action(graph))
    return findings


def _picture(name: str, picture: Picture) -> list[Finding]:
    """Judge an image for itself."""
    findings = []
    if picture.rgb is None:
        findings.append(
            Finding(
                check='encoding',
                subject=name,
                severity=Severity.ERROR,
                found=picture.problem,
                rule='the encoder reads colour and Bayer images of 8 bit and compressed ones',
                fix="set the driver's colour format to rgb8 (usb_cam: pixel_format; RealSense: "
                'rgb_camera.color_format)',
            )
        )
    elif picture.encoding in NO_COLOUR_ENCODINGS:
        findings.append(
            Finding(
                check='encoding',
                subject=name,
                severity=Severity.WARNING,
                found=f'{picture.encoding}: no colour',
                rule='tasks are learned on colour images',
                fix="name the camera's colour topic in the rig file, not infrared or depth",
            )
        )
    else:
        findings.append(ok('encoding', name, picture.encoding or 'compressed'))
    if not picture.frame_id:
        text = 'header.frame_id is empty'
        findings.append(info('frame', name, text, f'frame_id: {name}_optical_frame in its driver'))
    return findings


def _robot(rig: RigFacts, task: TaskFacts) -> Finding:
    """Judge the arm."""
    learned = task.contract.robot
    if learned == rig.robot:
        return ok('contract_robot', task.name, learned)
    return Finding(
        check='contract_robot',
        subject=task.name,
        severity=Severity.WARNING,
        found=f'learned on {learned}, the rig is {rig.robot}',
        rule='poses are carried over by the bridge; joint ranges differ most in joint 6',
        fix='watch the dry run: ros2 topic echo /sim2real/status',
    )


def _cameras(rig: RigFacts, graph: GraphFacts, task: TaskFacts) -> list[Finding]:
    """Judge each camera the task saw."""
    names = [camera.name for camera in rig.cameras]
    wanted = [camera.name for camera in task.contract.cameras]
    findings = []
    for camera in task.contract.cameras:
        if camera.name not in names:
            findings.append(
                Finding(
                    check='contract_cameras',
                    subject=camera.name,
                    severity=Severity.ERROR,
                    found=f'the rig file has {", ".join(names)}',
                    rule=f"task '{task.name}' sees {', '.join(wanted)}",
                    fix=f"add a camera named '{camera.name}' to `cameras` of the rig file",
                )
            )
            continue
        picture = graph.pictures.get(camera.name)
        if picture is not None:
            findings += _camera(task, camera, picture)
    if set(wanted) <= set(names):
        order = 'in' if [n for n in names if n in wanted] == wanted else 'not in'
        text = f'{", ".join(wanted)}; the rig file has them {order} that order, names decide'
        findings.append(ok('contract_cameras', task.name, text))
    return findings


def _camera(task: TaskFacts, camera: CameraContract, picture: Picture) -> list[Finding]:
    """Judge size, geometry and colours against what the task saw."""
    size = f'{picture.width}x{picture.height}'
    findings = []
    if (picture.width, picture.height) == (camera.width, camera.height):
        findings.append(ok('contract_size', camera.name, f'{size} pixels'))
    else:
        findings.append(
            Finding(
                check='contract_size',
                subject=camera.name,
                severity=Severity.ERROR,
                found=f'{size} pixels',
                rule=f"task '{task.name}' was learned on {camera.width}x{camera.height}; "
                'others are refused',
                fix=f'set width {camera.width} and height {camera.height} in its driver '
                '(camera_node: config/cameras/*.yaml)',
            )
        )
    findings += _intrinsics(task, camera, picture)
    reference = task.references.get(camera.name)
    if reference is None or picture.rgb is None:
        findings.append(skipped('contract_colour', camera.name, 'no pair of pictures to compare'))
    elif colours_look_swapped(_cropped(picture.rgb, camera), reference):
        findings.append(
            Finding(
                check='contract_colour',
                subject=camera.name,
                severity=Severity.WARNING,
                found=f"encoding '{picture.encoding}', and red and blue look exchanged against "
                f'the picture in the package of {task.name}',
                rule=f"the task was learned on '{camera.colour}'",
                fix='correct the encoding the driver declares (rgb8 for bgr8, or the other way)',
            )
        )
    else:
        findings.append(ok('contract_colour', camera.name, 'as in the package'))
    return findings


def _cropped(rgb: Rgb, camera: CameraContract) -> Rgb:
    """Return the part the task sees; the whole of a picture of another size."""
    if rgb.shape[:2] != (camera.height, camera.width):
        return rgb
    left, top, width, height = camera.crop
    return rgb[top : top + height, left : left + width]


def _intrinsics(task: TaskFacts, camera: CameraContract, picture: Picture) -> list[Finding]:
    if picture.intrinsics is None or not picture.intrinsics[0]:
        text = 'no calibration comes on camera_info'
        fix = 'calibrate (ros2 run camera_calibration cameracalibrator) and set `intrinsics`'
        return [info('contract_lens', camera.name, text, fix)]
    here, learned = picture.intrinsics[0] / picture.width, camera.intrinsics[0] / camera.width
    found = f'focal length {here:.2f} of the width, learned with {learned:.2f}'
    if abs(here / learned - 1.0) <= FOCAL_TOLERANCE:
        return [ok('contract_lens', camera.name, found)]
    return [
        Finding(
            check='contract_lens',
            subject=camera.name,
            severity=Severity.WARNING,
            found=found,
            rule=f'the field of view is that of training within {100 * FOCAL_TOLERANCE:.0f} %',
            fix=f"use that lens or size, or retrain '{task.name}' on this camera",
        )
    ]


def _first_action(graph: GraphFacts) -> Finding:
    """Judge how far the policy wants to go at once."""
    first, arm = graph.first_action, graph.arm
    if first is None or arm is None or arm.q is None or arm.hand_m is None:
        if not graph.active_task:
            reason, fix = 'no task is being served', 'roboadapt switch TASK (nothing moves)'
        else:
            reason = 'no action chunk of the policy, or no joint state, came'
            fix = 'ros2 topic echo --once /policy/action_chunk'
        return skipped('first_action', 'policy', reason, fix)
    return _judge_step(first, arm, arm.q, arm.hand_m)


def _judge_step(
    first: FirstAction, arm: ArmState, q: npt.NDArray[np.float64], hand: npt.NDArray[np.float64]
) -> Finding:
    if first.space == 'ee_pose':
        step = float(np.linalg.norm(first.values[:3] - hand))
        found, share = f'{100 * step:.1f} cm from the hand', step / STEP_WARN_M
        rule, limit = f'up to {100 * STEP_WARN_M:g} cm', STEP_ERROR_M / STEP_WARN_M
    elif first.space == 'joint_position':
        steps = np.abs(first.values[: len(q)] - q)
        joint, step = int(np.argmax(steps)), float(steps.max())
        found = f'{step:.2f} rad from where {first.names[joint]} is'
        share = step / STEP_WARN_RAD
        rule, limit = f'up to {STEP_WARN_RAD:g} rad', STEP_ERROR_RAD / STEP_WARN_RAD
    else:
        return skipped('first_action', first.task, f"actions are '{first.space}', no positions")
    if share <= 1.0:
        return ok('first_action', first.task, found)
    return Finding(
        check='first_action',
        subject=first.task,
        severity=Severity.ERROR if share > limit or not np.isfinite(share) else Severity.WARNING,
        found=found,
        rule=f'{rule}: the arm starts where the task was learned',
        fix='move the arm to the start pose of the task before arming; check the frame, the hand '
        'in Desk and the joint names',
    )

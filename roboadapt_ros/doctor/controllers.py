"""ros2_control: the controllers that move the arm, and the hardware component behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roboadapt_ros.doctor.facts import Controller, GraphFacts, RigFacts, Topic
from roboadapt_ros.doctor.finding import Finding, ok, Severity, skipped

_DEFAULT_MANAGER = '/controller_manager'
"""What `ros2 control` asks where it is told nothing."""


def check_controllers(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Judge the controllers that the rig file names, or the one that listens to the targets."""
    if rig.simulated:
        return [skipped('controller', rig.command, 'the simulated rig has no controllers')]
    if graph.controllers is None:
        reason, fix = graph.controllers_reason, graph.controllers_fix
        return [skipped('controller', rig.command, reason, fix)]
    return [*_controllers(rig, graph, graph.controllers), *_hardware(rig, graph)]


def _controllers(
    rig: RigFacts, graph: GraphFacts, controllers: tuple[Controller, ...]
) -> list[Finding]:
    known = {controller.name: controller for controller in controllers}
    missing = [name for name in rig.controllers if name not in known]
    if missing:
        return [_not_loaded(rig, missing, known)]
    topic = graph.topics.get(rig.command, Topic(name=rig.command))
    listeners = {endpoint.node.rpartition('/')[2] for endpoint in topic.subscribers}
    chosen = [c for name, c in known.items() if name in (rig.controllers or listeners)]
    if not chosen:
        return [
            Finding(
                check='controller',
                subject=rig.command,
                severity=Severity.ERROR,
                found=f'no controller listens; there are: {_states(controllers)}',
                rule='the controller that takes the targets is loaded and active',
                fix=f'{_control(rig, "switch_controllers --activate NAME")}; its topic must be '
                f'{rig.command}, as in the rig file',
            )
        ]
    return [_controller(rig, controller, controllers) for controller in chosen]


def _control(rig: RigFacts, words: str) -> str:
    """Return a command of `ros2 control` for the rig's controller manager."""
    manager = rig.controller_manager
    return f'ros2 control {words}' + (f' -c {manager}' if manager != _DEFAULT_MANAGER else '')


def _states(controllers: Iterable[Controller]) -> str:
    return ', '.join(f'{c.name} ({c.state})' for c in controllers) or 'none'


def _not_loaded(rig: RigFacts, missing: list[str], known: Mapping[str, Controller]) -> Finding:
    commands = ' && '.join(
        _control(rig, f'load_controller {name} --set-state inactive') for name in missing
    )
    return Finding(
        check='controller',
        subject=', '.join(missing),
        severity=Severity.ERROR,
        found=f'not loaded; there are: {_states(known.values())}',
        rule=f"rig '{rig.name}' moves the arm by it, and recovers and stops by it",
        fix=f'{commands}; or correct arm.controllers in the rig file',
    )


def _controller(rig: RigFacts, controller: Controller, all_: Iterable[Controller]) -> Finding:
    found = f'{controller.state}, claims {", ".join(controller.claimed) or "nothing"}'
    if controller.state == 'inactive':
        return _inactive(rig, controller, all_)
    joints = {claim.rpartition('/')[0] for claim in controller.claimed}
    kinds = {claim.rpartition('/')[2] for claim in controller.claimed}
    missing = [name for name in rig.joint_names if name not in joints]
    if controller.state != 'active':
        command = _control(rig, f'set_controller_state {controller.name} inactive')
        return Finding(
            check='controller',
            subject=controller.name,
            severity=Severity.ERROR,
            found=found,
            rule=f'active before the arm is armed, with {", ".join(rig.joint_names)} claimed',
            fix=f'{command}; its log says what keeps it from that',
        )
    if missing:
        return Finding(
            check='controller',
            subject=controller.name,
            severity=Severity.ERROR,
            found=found,
            rule=f'active, with {", ".join(rig.joint_names)} claimed',
            fix='correct `joints` of the controller, or arm.controllers in the rig file: '
            f'{_control(rig, "list_hardware_interfaces")}',
        )
    if kinds & {'position', 'velocity'}:
        return Finding(
            check='controller',
            subject=controller.name,
            severity=Severity.WARNING,
            found=found,
            rule='targets at 100 Hz on a position or velocity interface end in '
            'joint_motion_generator_*_discontinuity; an impedance controller claims effort '
            '(https://github.com/frankarobotics/franka_ros2/issues/168)',
            fix='use a joint impedance controller (crisp_controllers, gello_software) and name '
            'its topic in arm.output of the rig file',
        )
    return ok('controller', controller.name, found)


def _inactive(rig: RigFacts, controller: Controller, all_: Iterable[Controller]) -> Finding:
    """Judge an inactive controller: as it should be until the robot is set up, if it is free."""
    holders = sorted(
        other.name
        for other in all_
        if other.name != controller.name
        and any(claim.rpartition('/')[0] in rig.joint_names for claim in other.claimed)
    )
    activate = _control(rig, f'switch_controllers --activate {controller.name}')
    set_up = f'ros2 service call {rig.setup} std_srvs/srv/Trigger, then ' if rig.setup else ''
    if holders:
        names = ' '.join(holders)
        return Finding(
            check='controller',
            subject=controller.name,
            severity=Severity.ERROR,
            found=f'inactive, and its joints are claimed by {", ".join(holders)}',
            rule='nothing else moves the arm',
            fix=f'{_control(rig, f"switch_controllers --deactivate {names}")}; {set_up}{activate}',
        )
    why = f'; {rig.setup} is refused while it is active' if rig.setup else ''
    return Finding(
        check='controller',
        subject=controller.name,
        severity=Severity.WARNING,
        found='inactive; nothing else claims its joints',
        rule=f'active before the arm is armed{why}',
        fix=f"{set_up}{activate}, before 'roboadapt arm'",
    )


def _hardware(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Judge the hardware component that a recovery activates."""
    name = rig.hardware_component
    if not name:
        return []
    if graph.hardware is None:
        return [skipped('hardware', name, 'list_hardware_components does not answer')]
    state = graph.hardware.get(name)
    if state == 'active':
        return [ok('hardware', name, state)]
    if state is None:
        there = ', '.join(f'{other} ({state})' for other, state in graph.hardware.items())
        return [
            Finding(
                check='hardware',
                subject=name,
                severity=Severity.ERROR,
                found=f'not there; there are: {there or "none"}',
                rule="'roboadapt recover' activates it by this name",
                fix='correct arm.recovery.hardware_component in the rig file: '
                f'{_control(rig, "list_hardware_components")}',
            )
        ]
    return [
        Finding(
            check='hardware',
            subject=name,
            severity=Severity.ERROR,
            found=state,
            rule='active: no controller can move the arm before',
            fix="remove the cause, then 'roboadapt recover'; before the graph is up: "
            f'{_control(rig, f"set_hardware_component_state {name} active")}',
        )
    ]

"""Who talks to whom: quality of service, message types, publishers of commands, nodes."""

from __future__ import annotations

from collections.abc import Iterable

from roboadapt_ros.doctor.facts import Endpoint, GraphFacts, RigFacts, Topic
from roboadapt_ros.doctor.finding import Finding, info, ok, Severity

QOS_RULE = 'https://docs.ros.org/en/jazzy/Concepts/Intermediate/About-Quality-of-Service-Settings'
ACTION_SUFFIX = '/_action/send_goal'
_LEVELS = {1: Severity.WARNING, 2: Severity.ERROR, 3: Severity.WARNING}


def check_topics(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Return what the endpoints say."""
    return [
        *_nodes(rig, graph),
        *_reports(graph),
        *_qos(graph.topics.values()),
        *_types(graph.topics.values()),
        *_commands(rig, graph),
        *_services(rig, graph),
    ]


def mismatch(publisher: Endpoint, subscriber: Endpoint) -> str:
    """Return why a subscription gets nothing from a publisher; '' where it does.

    A publisher must offer at least what the subscription asks for, setting by setting.
    """
    if subscriber.reliable and not publisher.reliable:
        return 'best effort is offered, reliable is asked for'
    if subscriber.transient_local and not publisher.transient_local:
        return 'volatile is offered, transient local is asked for'
    asked_ns, offered_ns = subscriber.deadline_ns, publisher.deadline_ns
    if asked_ns is not None and (offered_ns is None or offered_ns > asked_ns):
        offered = 'none' if offered_ns is None else f'{offered_ns / 1e6:g} ms'
        return f'a deadline of {offered} is offered, {asked_ns / 1e6:g} ms is asked for'
    if subscriber.manual_liveliness and not publisher.manual_liveliness:
        return 'automatic liveliness is offered, manual is asked for'
    return ''


def _qos(topics: Iterable[Topic]) -> list[Finding]:
    """Judge every pair of publisher and subscription."""
    findings, pairs, names = [], 0, 0
    for topic in topics:
        names += 1
        reasons: dict[str, list[str]] = {}
        for publisher in topic.publishers:
            for subscriber in topic.subscribers:
                pairs += 1
                reason = mismatch(publisher, subscriber)
                if reason:
                    reasons.setdefault(reason, []).append(f'{publisher.node} → {subscriber.node}')
        findings += [_incompatible(topic.name, why, who) for why, who in reasons.items()]
    if not findings:
        text = f'{pairs} pairs of publisher and subscription on {names} topics fit'
        findings.append(ok('qos', 'all topics', text))
    return findings


def _incompatible(topic: str, reason: str, pairs: list[str]) -> Finding:
    asked = reason.partition(', ')[2].removesuffix(' is asked for')
    return Finding(
        check='qos',
        subject=topic,
        severity=Severity.ERROR,
        found=f'{reason}: no message passes {", ".join(pairs)}',
        rule=f'a publisher offers at least what is asked for ({QOS_RULE})',
        fix=f'ask for less in {_second(pairs)}, or offer {asked} in {_first(pairs)}; for a '
        "reliable subscription use rclpy's qos_profile_sensor_data",
    )


def _first(pairs: list[str]) -> str:
    return ', '.join(sorted({pair.partition(' → ')[0] for pair in pairs}))


def _second(pairs: list[str]) -> str:
    return ', '.join(sorted({pair.partition(' → ')[2] for pair in pairs}))


def _types(topics: Iterable[Topic]) -> list[Finding]:
    """Judge whether everybody means the same message."""
    findings = []
    for topic in topics:
        by_type: dict[str, set[str]] = {}
        for endpoint in (*topic.publishers, *topic.subscribers):
            by_type.setdefault(endpoint.type, set()).add(endpoint.node)
        if len(by_type) > 1:
            parts = (f'{kind} in {", ".join(sorted(who))}' for kind, who in by_type.items())
            findings.append(
                Finding(
                    check='types',
                    subject=topic.name,
                    severity=Severity.ERROR,
                    found='; '.join(parts),
                    rule='publisher and subscription of a topic have one type',
                    fix='correct the topic, or its type, in the rig file or in the node that is '
                    f'wrong: ros2 topic info -v {topic.name}',
                )
            )
    return findings


def _commands(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Judge the topics that move something: one speaker, somebody who listens."""
    findings = []
    for name in filter(None, (rig.command, rig.gripper_command)):
        topic = graph.topics.get(name, Topic(name=name))
        speakers = [endpoint.node for endpoint in topic.publishers]
        if len(speakers) > 1:
            findings.append(
                Finding(
                    check='command_publishers',
                    subject=name,
                    severity=Severity.ERROR,
                    found=f'{len(speakers)} publishers: {", ".join(sorted(speakers))}',
                    rule="only the governor: two targets make the arm jump, and crisp's "
                    'controllers then ignore both',
                    fix=f'stop the others (ros2 topic info -v {name}); one that was killed '
                    'disappears within 20 s',
                )
            )
        elif speakers:
            findings.append(ok('command_publishers', name, f'only {speakers[0]}'))
        else:
            text = 'no publisher; the governor is not running'
            findings.append(info('command_publishers', name, text, _up(rig)))
        findings.append(_listener(rig, name, topic))
    return findings


def _listener(rig: RigFacts, name: str, topic: Topic) -> Finding:
    own = set(rig.nodes) if not rig.simulated else {n for n in rig.nodes if 'sim_rig' not in n}
    listeners = sorted({e.node for e in topic.subscribers if e.node not in own})
    if listeners:
        return ok('command_listener', name, f'{", ".join(listeners)} listens')
    return Finding(
        check='command_listener',
        subject=name,
        severity=Severity.ERROR,
        found='nobody listens',
        rule="the arm's, or the hand's, controller takes its targets here",
        fix=_up(rig)
        if rig.simulated
        else 'activate the controller, or correct the name in the rig file: '
        'ros2 control list_controllers; ros2 topic list',
    )


def _services(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Judge whether what the governor calls is there."""
    findings = []
    for service in rig.services:
        subject = service.name.removesuffix(ACTION_SUFFIX)
        kind = 'service' if subject == service.name else 'action'
        if service.name in graph.services:
            findings.append(ok('command_server', subject, f'the {kind} is there'))
            continue
        others = ', '.join(_similar(service.name, graph.services))
        findings.append(
            Finding(
                check='command_server',
                subject=subject,
                severity=Severity.ERROR,
                found=f'no node serves this {kind}',
                rule=service.use,
                fix=_up(rig)
                if rig.simulated
                else f'start the driver that serves it, or correct {service.key} or `namespace` '
                f'in the rig file: ros2 {kind} list'
                + (f'; there are: {others}' if others else ''),
            )
        )
    return findings


def _similar(name: str, served: Iterable[str]) -> list[str]:
    """Return what is served under the same last name elsewhere: in another namespace, mostly."""
    is_action = name.endswith(ACTION_SUFFIX)
    last = name.removesuffix(ACTION_SUFFIX).rpartition('/')[2] + ACTION_SUFFIX * is_action
    return sorted(n.removesuffix(ACTION_SUFFIX) for n in served if n.endswith(f'/{last}'))


def _nodes(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Say which of this project's nodes are there."""
    missing = [node for node in rig.nodes if node not in graph.nodes]
    there = [node for node in rig.nodes if node in graph.nodes]
    findings = [ok('nodes', 'running', ', '.join(there))] if there else []
    if not there:
        return [
            Finding(
                check='nodes',
                subject='graph',
                severity=Severity.WARNING,
                found=f'none of {", ".join(missing)} runs in ROS domain {graph.domain}',
                rule='topics are measured while the graph runs; the gate stays closed',
                fix=f'{_up(rig)}; in another domain: --domain N',
            )
        ]
    return findings + [
        Finding(
            check='nodes',
            subject=node,
            severity=Severity.ERROR,
            found='does not run, and others of the graph do',
            rule='the graph works as a whole',
            fix=f'see its log in runs/, then: {_up(rig)}',
        )
        for node in missing
    ]


def _reports(graph: GraphFacts) -> list[Finding]:
    """Pass on what nodes say of themselves on /diagnostics."""
    findings, well = [], []
    for node, report in sorted(graph.reports.items()):
        severity = _LEVELS.get(report.level)
        if severity is None:
            well.append(f'{node}: {report.message}')
            continue
        findings.append(
            Finding(
                check='health',
                subject=node,
                severity=severity,
                found=report.message,
                rule='every node reports ok on /diagnostics',
                fix='what the message names; its counters: ros2 topic echo /diagnostics',
            )
        )
    if well:
        findings.append(ok('health', f'{len(well)} nodes', '; '.join(well)))
    return findings


def _up(rig: RigFacts) -> str:
    return f'roboadapt up --rig {rig.name}'

"""Middleware, discovery, Python's ABI and packages: what must fit before anything is started."""

from __future__ import annotations

from roboadapt_ros.doctor.facts import GraphFacts, HostFacts, RigFacts
from roboadapt_ros.doctor.finding import Finding, info, ok, Severity, skipped
from roboadapt_ros.doctor.packages import needed_packages

TWO_MACHINES = 'https://github.com/frankarobotics/franka_ros2/issues/201'
_LOCAL = ('LOCALHOST', 'OFF')


def check_environment(rig: RigFacts, host: HostFacts, graph: GraphFacts | None) -> list[Finding]:
    """Return what the environment says, before and beside the running graph."""
    return [
        _rmw(rig, host, graph),
        *_vendors(graph),
        _discovery(rig, host, graph),
        *_python(host),
        *_packages(rig, host),
    ]


def other_hosts(graph: GraphFacts | None) -> dict[str, set[str]]:
    """Return by mark of another host the topics it publishes; this host is left out."""
    found: dict[str, set[str]] = {}
    own = graph.own_guid[2:4].hex() if graph is not None else ''
    for topic in graph.topics.values() if graph is not None else ():
        for endpoint in topic.publishers:
            if endpoint.host and own and endpoint.host != own:
                found.setdefault(endpoint.host, set()).add(topic.name)
    return found


def _rmw(rig: RigFacts, host: HostFacts, graph: GraphFacts | None) -> Finding:
    """Judge the middleware against the problem of two machines."""
    away = other_hosts(graph)
    fast = 'fastrtps' in host.rmw
    if rig.simulated and not away:
        return ok('middleware', host.rmw, 'everything on one host')
    if not fast:
        return info(
            'middleware',
            host.rmw,
            'config/fastdds.xml does not apply: whole camera frames depend on its own settings',
            'keep cameras and encoder on one host; '
            f'export RMW_IMPLEMENTATION={host.rmw} on every host',
        )
    arm_is_away = any(rig.joint_states in topics for topics in away.values())
    if arm_is_away:
        return Finding(
            check='middleware',
            subject=host.rmw,
            severity=Severity.WARNING,
            found=f'{rig.joint_states} comes from another host over Fast DDS',
            rule='a second host on Fast DDS has made the 1 kHz control loop overrun; with '
            f'Cyclone DDS on both it did not ({TWO_MACHINES})',
            fix='sudo apt install ros-$ROS_DISTRO-rmw-cyclonedds-cpp and '
            'export RMW_IMPLEMENTATION=rmw_cyclonedds_cpp on both hosts; or run the graph on the '
            "robot's host",
        )
    return info(
        'middleware',
        host.rmw,
        'the arm was not seen on another host; if its driver runs on one, the same middleware '
        'must run on both',
        'export RMW_IMPLEMENTATION=... to the same value on every host',
    )


def _vendors(graph: GraphFacts | None) -> list[Finding]:
    """Judge whether DDS implementations are mixed."""
    seen: dict[str, set[str]] = {}
    for topic in graph.topics.values() if graph is not None else ():
        for endpoint in (*topic.publishers, *topic.subscribers):
            if endpoint.vendor:
                seen.setdefault(endpoint.vendor, set()).add(endpoint.node)
    if not seen:
        return [skipped('vendors', 'DDS', 'no endpoint says whose DDS it is')]
    if len(seen) == 1:
        return [ok('vendors', 'DDS', f'all nodes seen use {next(iter(seen))}')]
    text = '; '.join(
        f'{vendor}: {", ".join(sorted(nodes)[:4])}' for vendor, nodes in sorted(seen.items())
    )
    return [
        Finding(
            check='vendors',
            subject='DDS',
            severity=Severity.WARNING,
            found=text,
            rule='services between DDS implementations do not work reliably, and large images '
            'leave shared memory',
            fix='export RMW_IMPLEMENTATION=... to the same value for every node, on every host',
        )
    ]


def _discovery(rig: RigFacts, host: HostFacts, graph: GraphFacts | None) -> Finding:
    """Judge how far nodes look for each other."""
    reach = host.environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '') or 'SUBNET'
    if host.environment.get('ROS_LOCALHOST_ONLY') == '1':
        reach = 'LOCALHOST'
    domain = host.environment.get('ROS_DOMAIN_ID', '0') or '0'
    found = f'ROS_AUTOMATIC_DISCOVERY_RANGE={reach}, ROS_DOMAIN_ID={domain}'
    if reach == 'OFF':
        return Finding(
            check='discovery',
            subject='range',
            severity=Severity.ERROR,
            found=found,
            rule='with OFF nodes do not even find each other on this host',
            fix='export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST (or SUBNET for two hosts)',
        )
    has_arm = graph is not None and bool(_publishers(graph, rig.joint_states))
    if rig.simulated or reach not in _LOCAL or has_arm:
        return ok('discovery', 'range', found)
    return Finding(
        check='discovery',
        subject='range',
        severity=Severity.WARNING,
        found=f'{found}, and nothing publishes {rig.joint_states}',
        rule='with LOCALHOST nodes of other hosts are not found',
        fix="where the arm's driver runs on another host: put 'ROS_AUTOMATIC_DISCOVERY_RANGE: "
        "SUBNET' into `environment` of the rig file (Humble: ROS_LOCALHOST_ONLY: '0' too)",
    )


def _publishers(graph: GraphFacts, topic: str) -> int:
    found = graph.topics.get(topic)
    return len(found.publishers) if found is not None else 0


def _python(host: HostFacts) -> list[Finding]:
    """Judge whether this Python can load ROS, and whether only one ROS is in play."""
    if not host.rclpy_path:
        return [
            Finding(
                check='python',
                subject=f'Python {host.python}',
                severity=Severity.ERROR,
                found='rclpy is not found',
                rule='the graph runs over rclpy',
                fix="'make setup', or source /opt/ros/$ROS_DISTRO/setup.bash",
            )
        ]
    built = ', '.join(host.rclpy_builds)
    if not any(name.endswith(host.extension_suffix) for name in host.rclpy_builds):
        return [
            Finding(
                check='python',
                subject=f'Python {host.python}',
                severity=Severity.ERROR,
                found=f'rclpy in {host.rclpy_path} was compiled for {built or "no Python"}',
                rule=f'its compiled module must end in {host.extension_suffix}; Humble has Python '
                '3.10, Jazzy and Kilted 3.12',
                fix="use that distribution's Python: make PYTHON=python3.10 setup (or 3.12)",
            )
        ]
    if host.rclpy_problem:
        return [
            Finding(
                check='python',
                subject='rclpy',
                severity=Severity.ERROR,
                found=f'does not come up with {host.rmw}: {host.rclpy_problem}',
                rule='rclpy.init() works in the environment of the graph',
                fix='unset RMW_IMPLEMENTATION, or install it: sudo apt install '
                f'ros-$ROS_DISTRO-{host.rmw.replace("_", "-")}; then open a new shell that has '
                'ROS sourced once',
            )
        ]
    findings = [ok('python', f'Python {host.python}', f'rclpy in {host.rclpy_path} fits')]
    distro = host.environment.get('ROS_DISTRO', '')
    prefix = f'/opt/ros/{distro}'
    is_sourced = prefix in host.environment.get('AMENT_PREFIX_PATH', '').split(':')
    if distro and is_sourced and not host.rclpy_path.startswith(f'{prefix}/'):
        findings.append(
            Finding(
                check='python',
                subject=f'ROS {distro}',
                severity=Severity.WARNING,
                found=f'{prefix} is sourced, and rclpy comes from {host.rclpy_path}',
                rule='libraries and messages of two ROS installations do not mix',
                fix="'make clean setup' in a shell that has it sourced, or open one that has not",
            )
        )
    return findings


def _packages(rig: RigFacts, host: HostFacts) -> list[Finding]:
    """Judge what is installed."""
    distro = host.environment.get('ROS_DISTRO') or '$ROS_DISTRO'
    findings, present = [], []
    for name, (fix, is_needed) in needed_packages(rig).items():
        if host.installed.get(name, False):
            present.append(name)
        elif is_needed:
            findings.append(
                Finding(
                    check='packages',
                    subject=name,
                    severity=Severity.ERROR,
                    found='is not installed for this Python',
                    rule=f"rig '{rig.name}' needs it",
                    fix=fix.format(distro=distro),
                )
            )
        else:
            text = 'is not installed; the graph works without it'
            findings.append(info('packages', name, text, fix.format(distro=distro)))
    return [*findings, ok('packages', 'installed', ', '.join(present))]

"""Rates, ages, jitter and stamps of what a rig publishes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.doctor.facts import GraphFacts, RigFacts, Stream, StreamRule
from roboadapt_ros.doctor.finding import Finding, ok, Severity

Int64s = npt.NDArray[np.int64]

FEW = 2
"""Fewer messages than this say nothing about a rate."""
WARN_RATE, ERROR_RATE = 0.9, 0.5
"""Parts of the rate that is needed."""
GAP_PERIODS = 3.0
EXPOSURE_S = 0.003
"""A real frame takes longer than this from its exposure to a reader [s]."""


@dataclass(frozen=True)
class Timing:
    """Figures of a stream."""

    rate_hz: float
    """Of the intervals, or of the whole time where messages ceased to come."""
    gap_s: float
    """Longest time between two messages [s]."""
    jitter_s: float
    """95th percentile of the distance of intervals from their median [s]."""


def timing(stream: Stream) -> Timing | None:
    """Return the figures; None for too few messages."""
    if len(stream.received_ns) < FEW:
        return None
    arrivals = np.array(stream.received_ns, dtype=np.int64)
    intervals = np.diff(arrivals) / 1e9
    return Timing(
        rate_hz=min(
            len(intervals) / max(float(intervals.sum()), 1e-9),
            (len(arrivals) + 1) / stream.seconds,
        ),
        gap_s=float(intervals.max()),
        jitter_s=float(np.percentile(np.abs(intervals - np.median(intervals)), 95)),
    )


def check_streams(rig: RigFacts, graph: GraphFacts) -> list[Finding]:
    """Return what the messages' times say."""
    findings = []
    for stream in graph.streams:
        found = _rate(rig, graph, stream)
        findings.append(found)
        if len(stream.received_ns) >= FEW:
            findings += [_jitter(stream), *_stamps(rig, stream)]
    return findings


def _rate(rig: RigFacts, graph: GraphFacts, stream: Stream) -> Finding:
    rule, figures = stream.rule, timing(stream)
    if figures is None:
        return _silent(rig, graph, stream)
    found = f'{rule.role}: {figures.rate_hz:.1f} Hz over {stream.seconds:g} s'
    share = figures.rate_hz / rule.minimum_hz
    if share >= WARN_RATE:
        return ok('rate', rule.topic, found)
    if rule.is_camera:
        fix = (
            'set the rate in the driver (exposure time allows it?), use a USB 3 port of its own, '
            'and check shared memory: a frame that does not fit arrives at about 1 Hz'
        )
    else:
        fix = (
            "raise the broadcaster's rate (franka_ros2: franka/joint_states has 1000 Hz, "
            "joint_states only 30) or name that topic in the rig file's arm.joint_states"
        )
    return Finding(
        check='rate',
        subject=rule.topic,
        severity=Severity.ERROR if share < ERROR_RATE else Severity.WARNING,
        found=found,
        rule=f'{rule.minimum_hz:g} Hz',
        fix=fix,
    )


def _silent(rig: RigFacts, graph: GraphFacts, stream: Stream) -> Finding:
    """Say why nothing, or next to nothing, came."""
    rule, count = stream.rule, len(stream.received_ns)
    topic = graph.topics.get(rule.topic)
    publishers = [endpoint.node for endpoint in topic.publishers] if topic is not None else []
    start = f'roboadapt up --rig {rig.name}'
    if publishers:
        found = f'{rule.role}: {count} messages in {stream.seconds:g} s from {publishers[0]}'
        fix = f'ros2 topic hz {rule.topic}; look for it in the log of {publishers[0]}'
    else:
        found = f'{rule.role}: nothing publishes it in ROS domain {graph.domain}'
        fix = start if rig.simulated else _driver_fix(rig, graph, rule, start)
    return Finding(
        check='rate',
        subject=rule.topic,
        severity=Severity.WARNING if rule.is_optional else Severity.ERROR,
        found=found,
        rule=f'{rule.minimum_hz:g} Hz',
        fix=fix,
    )


def _driver_fix(rig: RigFacts, graph: GraphFacts, rule: StreamRule, start: str) -> str:
    if any(camera.topic == rule.topic and camera.has_driver for camera in rig.cameras):
        return start
    kind, known = rule.topic.rpartition('/')[2], {other.rule.topic for other in graph.streams}
    similar = sorted(
        name
        for name, topic in graph.topics.items()
        if name.endswith(kind) and topic.publishers and name not in known
    )
    there = f'; there are: {", ".join(similar[:4])}' if similar else ''
    return f'start its driver, or correct the name (or `namespace`) in the rig file{there}'


def _jitter(stream: Stream) -> Finding:
    figures = timing(stream)
    assert figures is not None  # mypy: the caller has counted
    needed_s = 1.0 / stream.rule.minimum_hz
    found = f'jitter {1e3 * figures.jitter_s:.1f} ms, longest gap {1e3 * figures.gap_s:.0f} ms'
    if figures.gap_s <= GAP_PERIODS * needed_s and figures.jitter_s <= needed_s:
        return ok('jitter', stream.rule.topic, found)
    return Finding(
        check='jitter',
        subject=stream.rule.topic,
        severity=Severity.WARNING,
        found=found,
        rule=f'gaps up to {1e3 * GAP_PERIODS * needed_s:.0f} ms, jitter up to '
        f'{1e3 * needed_s:.0f} ms: the governor holds after two periods without a chunk',
        fix="free the host's cores (top), give cameras a USB controller of their own, keep camera "
        "traffic off the robot's network",
    )


def _stamps(rig: RigFacts, stream: Stream) -> list[Finding]:
    """Judge stamps for themselves and against the time of arrival."""
    if stream.stamps_ns is None:
        return []
    rule = stream.rule
    stamps = np.array(stream.stamps_ns, dtype=np.int64)
    ages = (np.array(stream.received_ns, dtype=np.int64) - stamps) / 1e9
    zero = int((stamps == 0).sum())
    if zero:
        return [
            Finding(
                check='stamps',
                subject=rule.topic,
                severity=Severity.ERROR,
                found=f'{zero} of {len(stamps)} are zero',
                rule='the driver stamps the time of exposure or measurement; others are refused',
                fix='set header.stamp = node.get_clock().now().to_msg() in the driver, minus the '
                'time from exposure',
            )
        ]
    findings = _order(rule, stamps)
    if not findings:
        findings = [ok('stamps', rule.topic, f'{len(stamps)} stamps, each newer than the last')]
    middle = float(np.median(ages))
    if rule.is_camera and not rig.simulated and 0 <= middle < EXPOSURE_S:
        findings.append(
            Finding(
                check='stamps',
                subject=rule.topic,
                severity=Severity.WARNING,
                found=f'the image is {1e3 * middle:.1f} ms old when it comes',
                rule=f'exposure, read-out and transfer take more than {1e3 * EXPOSURE_S:g} ms: '
                'it is stamped when it is sent, not when it was exposed',
                fix='camera_node: exposure_lag_s in config/cameras/*.yaml; other drivers: their '
                'hardware or global time stamps (RealSense: global_time_enabled)',
            )
        )
    return [*findings, _age(rule, ages)]


def _order(rule: StreamRule, stamps: Int64s) -> list[Finding]:
    steps = np.diff(stamps)
    repeated, backward = int((steps == 0).sum()), int((steps < 0).sum())
    if not repeated and not backward:
        return []
    return [
        Finding(
            check='stamps',
            subject=rule.topic,
            severity=Severity.ERROR if rule.is_camera else Severity.WARNING,
            found=f'{repeated} repeated, {backward} older than the one before, of {len(stamps)}',
            rule='stamps go forward; what is not newer is refused or forgotten',
            fix='one publisher per topic (ros2 topic info -v), and a stamp per measurement in '
            'its driver',
        )
    ]


def _age(rule: StreamRule, ages: npt.NDArray[np.float64]) -> Finding:
    middle, high = float(np.median(ages)), float(np.percentile(ages, 95))
    found = f'{1e3 * middle:.0f} ms, 95 % under {1e3 * high:.0f} ms'
    if rule.max_age_s is None or high <= rule.max_age_s:
        return ok('age', rule.topic, found)
    return Finding(
        check='age',
        subject=rule.topic,
        severity=Severity.ERROR if middle > rule.max_age_s else Severity.WARNING,
        found=found,
        rule=f'up to {1e3 * rule.max_age_s:.0f} ms, or it is refused as stale',
        fix='compare the clocks (chronyc tracking on each host); for a camera: a smaller image, '
        'a shorter queue in the driver, shared memory instead of the network',
    )

"""How far the clocks of a graph's hosts are apart, as far as one-way stamps can say."""

from __future__ import annotations

import math

from roboadapt_ros.doctor.facts import GraphFacts
from roboadapt_ros.doctor.finding import Finding, ok, Severity, skipped

CLOCK_TOLERANCE_S = 0.05
"""Nodes refuse stamps that are further ahead than this [s]."""
AHEAD_S = 0.002
"""A stamp this far ahead can not be its own host's reading of the clock [s]."""
LATE_S = 0.1
"""Even the youngest message older than this: another clock, or a very slow way [s]."""


def check_clocks(graph: GraphFacts) -> list[Finding]:
    """Estimate by host how far its clock is from this one's.

    The age of a message is the clocks' distance plus the time on the way, which is never
    negative; so the youngest message bounds the distance from one side only.
    """
    youngest: dict[str, tuple[float, str]] = {}
    for stream in graph.streams:
        usable = [
            (received - stamp) / 1e9
            for received, stamp in zip(stream.received_ns, stream.stamps_ns or (), strict=False)
            if stamp
        ]
        topic = graph.topics.get(stream.rule.topic)
        hosts = {endpoint.host for endpoint in topic.publishers} if topic is not None else set()
        if not usable or len(hosts) > 1:
            continue
        host = next(iter(hosts), '')
        youngest[host] = min(youngest.get(host, (math.inf, '')), (min(usable), stream.rule.topic))
    if not youngest:
        return [skipped('clock', 'hosts', 'no stamped message came')]
    own = graph.own_guid[2:4].hex()
    return [_clock(host, host in ('', own), *found) for host, found in sorted(youngest.items())]


def _clock(host: str, is_here: bool, age_s: float, topic: str) -> Finding:
    where = 'this host' if is_here else f'host {host}'
    found = f'youngest message ({topic}) {1e3 * age_s:.1f} ms old'
    note = '; a delay on the way can hide a clock that is ahead by as much'
    if -AHEAD_S <= age_s <= LATE_S:
        return ok('clock', where, found + note)
    is_error = -age_s > CLOCK_TOLERANCE_S
    ahead = 'ahead of' if age_s < 0 else 'behind'
    return Finding(
        check='clock',
        subject=where,
        severity=Severity.ERROR if is_error else Severity.WARNING,
        found=f'{found}: its clock is {ahead} ours, or stamps are not the time of measurement',
        rule=f'nothing comes before it was measured; up to {1e3 * CLOCK_TOLERANCE_S:.0f} ms ahead '
        f'is taken, and the youngest is not older than {1e3 * LATE_S:.0f} ms',
        fix='chrony on both hosts, one as the server of the other, and `use_sim_time` off: '
        'chronyc makestep; chronyc tracking',
    )

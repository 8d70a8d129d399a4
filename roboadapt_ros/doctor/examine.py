"""All checks, in the order a person would go through them."""

from __future__ import annotations

from roboadapt_ros.doctor.clocks import check_clocks
from roboadapt_ros.doctor.contract import check_contract, TaskFacts
from roboadapt_ros.doctor.control import check_control
from roboadapt_ros.doctor.environment import check_environment
from roboadapt_ros.doctor.facts import GraphFacts, HostFacts, RigFacts
from roboadapt_ros.doctor.finding import Finding, skipped
from roboadapt_ros.doctor.machine import check_machine
from roboadapt_ros.doctor.streams import check_streams
from roboadapt_ros.doctor.topics import check_topics


def examine(
    rig: RigFacts, host: HostFacts, graph: GraphFacts | None, task: TaskFacts | None
) -> list[Finding]:
    """Return every finding.

    Args:
        rig: The rig file.
        host: This host.
        graph: What was seen of the graph; None where ROS can not be loaded here.
        task: The task to hold the rig against; None: none.
    """
    findings = [*check_environment(rig, host, graph), *check_machine(rig, host, graph)]
    if graph is None:
        reason = 'ROS can not be loaded here'
        return [*findings, skipped('graph', 'topics', reason, "see 'python' and 'packages'")]
    return [
        *findings,
        *check_topics(rig, graph),
        *check_streams(rig, graph),
        *check_clocks(graph),
        *check_control(rig, graph),
        *check_contract(rig, graph, task),
    ]

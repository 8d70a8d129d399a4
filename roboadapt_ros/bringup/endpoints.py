"""Who publishes and who listens in a ROS graph, as the doctor's plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, ReliabilityPolicy
from roboadapt_ros.doctor.facts import Endpoint, Topic

LONGEST_DEADLINE_NS = 10**15
"""Longer ones, some ten days, stand for none: middlewares write infinity in several ways."""
STAND_IN = 'this rig'
"""Name of the doctor's own subscriptions, which ask for what the rig's nodes ask for."""


def node_names(node: Node) -> frozenset[str]:
    """Return the full names of the nodes in the graph."""
    return frozenset(_full(name, space) for name, space in node.get_node_names_and_namespaces())


def service_names(node: Node) -> frozenset[str]:
    """Return the full names of the services that some node serves; an action serves several."""
    found: set[str] = set()
    for name, space in node.get_node_names_and_namespaces():
        try:
            served = node.get_service_names_and_types_by_node(name, space)
        except RuntimeError:  # rclpy's NodeNameNonExistentError: it has gone since
            continue
        found.update(service for service, _ in served)
    return frozenset(found)


def read_topics(node: Node, kept: Collection[str]) -> dict[str, Topic]:
    """Return every topic of the graph.

    Args:
        node: The doctor's own.
        kept: Topics on which the node's own subscription counts, as `STAND_IN`.
    """
    own = _full(node.get_name(), node.get_namespace())
    found = {}
    for name, _ in node.get_topic_names_and_types():
        subscribers = to_endpoints(node.get_subscriptions_info_by_topic(name))
        named = [
            _renamed(endpoint) if endpoint.node == own else endpoint
            for endpoint in subscribers
            if endpoint.node != own or name in kept
        ]
        publishers = to_endpoints(node.get_publishers_info_by_topic(name))
        found[name] = Topic(
            name=name,
            publishers=tuple(endpoint for endpoint in publishers if endpoint.node != own),
            subscribers=tuple(named),
        )
    return found


def own_guid(node: Node, topic: str) -> bytes:
    """Return the GUID of the node's own subscription on a topic, b'' where it is not there."""
    own = _full(node.get_name(), node.get_namespace())
    found = to_endpoints(node.get_subscriptions_info_by_topic(topic))
    return next((endpoint.guid for endpoint in found if endpoint.node == own), b'')


def to_endpoints(infos: Iterable[Any]) -> tuple[Endpoint, ...]:
    """Return plain values of rclpy's TopicEndpointInfo."""
    return tuple(
        Endpoint(
            node=_full(info.node_name, info.node_namespace),
            type=info.topic_type,
            reliable=info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
            transient_local=info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            deadline_ns=_deadline(info.qos_profile.deadline.nanoseconds),
            manual_liveliness=info.qos_profile.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC,
            guid=bytes(info.endpoint_gid[:16]),
        )
        for info in infos
    )


def _deadline(nanoseconds: int) -> int | None:
    return int(nanoseconds) if 0 < nanoseconds < LONGEST_DEADLINE_NS else None


def _renamed(endpoint: Endpoint) -> Endpoint:
    return Endpoint(**{**vars(endpoint), 'node': STAND_IN})


def _full(name: str, namespace: str) -> str:
    return '/'.join(['', *filter(None, (namespace.strip('/'), name))])

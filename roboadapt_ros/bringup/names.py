"""Names of topics, services, actions and nodes, as a rig file gives them."""

from __future__ import annotations

import re
from typing import Protocol

from roboadapt_ros.errors import ConfigError

_PATH = re.compile(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)
_NAME = re.compile(r'[A-Za-z_]\w*', re.ASCII)


class Namespaced(Protocol):
    """A rig: what it calls by a relative name is in its namespace."""

    @property
    def namespace(self) -> str:
        """Return the namespace, '' where there is none."""
        ...


def full_name(rig: Namespaced, name: str) -> str:
    """Return a name with the rig's namespace in front, where it is relative."""
    if name.startswith('/'):
        return name
    return '/'.join(['', *filter(None, (rig.namespace.strip('/'), name))])


def require_path(key: str, value: str) -> None:
    """Pass where ROS takes a value for the name of a topic, service or action.

    Raises:
        ConfigError: It does not; rclpy would, too, but only when it is used first.
    """
    if _PATH.fullmatch(value) is None:
        rule = "must be names of letters, digits and '_', with '/' between; none begins with a "
        raise ConfigError(key, value, f'{rule}digit')


def require_name(key: str, value: str) -> None:
    """Pass where a value is one name, without '/'.

    Raises:
        ConfigError: It is not.
    """
    if _NAME.fullmatch(value) is None:
        raise ConfigError(key, value, "must be of letters, digits and '_', no digit first")

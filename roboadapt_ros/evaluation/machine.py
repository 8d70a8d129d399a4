"""What a figure was measured on: the machine, its software, and where both came from."""

from __future__ import annotations

from importlib import metadata
import os
from pathlib import Path
import platform

PACKAGES = ('numpy', 'torch', 'timm', 'mujoco', 'ruckig')
"""Distributions whose version changes a figure."""
RCLPY = ('rclpy', 'ros-rclpy')
"""One package by two names: a ROS installation's, and a wheel's beside it."""


def machine_facts() -> dict[str, str | int | float]:
    """Return processor, memory, operating system and versions, as JSON values.

    Versions come from the installed metadata: no package is imported.
    """
    facts: dict[str, str | int | float] = {
        'processor': _processor(),
        'cores': len(os.sched_getaffinity(0)),
        'memory_gib': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30, 1),
        'system': _system(),
        'kernel': platform.release(),
        'python': platform.python_version(),
        'load_1min': round(os.getloadavg()[0], 2),
    }
    if distribution := os.environ.get('ROS_DISTRO'):
        facts['ros_distro'] = distribution
    for name in PACKAGES:
        if version := _version(name):
            facts[name] = version
    for name in RCLPY:
        if version := _version(name):
            facts['rclpy'] = version
            break
    return facts


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else (platform.processor() or platform.machine())


def _system() -> str:
    try:
        return platform.freedesktop_os_release()['PRETTY_NAME']
    except (OSError, KeyError):
        return platform.system()

"""Installs the package for pip and for colcon (ament_python)."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'roboadapt_ros'
ROOT = Path(__file__).resolve().parent
NODES = (
    'camera_node',
    'encoder_node',
    'policy_node',
    'sim2real_node',
    'governor_node',
    'sim_rig_node',
    'recorder_node',
)


def share_files(tree: str) -> list[tuple[str, list[str]]]:
    """Return every file under `tree` as data_files entries, one per folder.

    Exported graphs are left out: they are made anew where they are served.
    """
    files = sorted(
        path.relative_to(ROOT)
        for path in (ROOT / tree).rglob('*')
        if path.is_file() and path.suffix != '.pyc' and path.parent.name != 'onnx'
    )
    folders = sorted({path.parent for path in files})
    return [
        (f'share/{PACKAGE}/{folder}', [str(path) for path in files if path.parent == folder])
        for folder in folders
    ]


def pins(name: str) -> list[str]:
    """Return the requirements in a file, without its comments."""
    lines = (line.partition('#')[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line]


setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*'], exclude=['test']),
    package_data={PACKAGE: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        *share_files('launch'),
        *share_files('config'),
        *share_files('models'),
    ],
    # What it imports is pinned in requirements.txt; colcon and rosdep read package.xml.
    install_requires=['setuptools'],
    # In an environment of its own: see the file, and `make peers`.
    extras_require={'peers': pins('requirements-peers.txt')},
    python_requires='>=3.10',
    zip_safe=False,
    maintainer='The roboadapt_ros maintainers',
    maintainer_email='maintainers@roboadapt.invalid',
    description='One frozen vision backbone, many small skills, on a Franka arm over ROS 2',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            f'roboadapt = {PACKAGE}.cli.main:main',
            *(f'{node} = {PACKAGE}.nodes.{node}:main' for node in NODES),
        ],
    },
)

"""Who may import whom: `docs/architecture.md`, held by reading the imports.

What a module imports only for type checkers is left out: it loads nothing.
"""

import ast
from functools import cache
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'roboadapt_ros'
MODULES = sorted(PACKAGE.rglob('*.py'))

BASE = {'errors', 'specs', 'files', 'config', 'contract', 'dataflow', 'engines'}
CORE = {'backbones', 'adapters', 'encoder', 'policy', 'control', 'sim2real', 'sim', 'doctor'}
UPPER = {'learning', 'evaluation'}
EDGE = {'ros', 'nodes', 'bringup', 'bench', 'cli'}

MAY_IMPORT = {
    **dict.fromkeys(BASE, BASE),
    **dict.fromkeys(CORE, BASE | CORE),
    'doctor': BASE | {'control', 'doctor'},
    **dict.fromkeys(UPPER, BASE | CORE | UPPER),
    'ros': BASE | {'control', 'sim2real', 'ros'},
    'bringup': BASE | {'control', 'sim2real', 'doctor', 'ros', 'bringup'},
    'nodes': BASE | CORE | {'ros', 'nodes', 'bringup'},
    'bench': BASE | CORE | UPPER | {'ros', 'bringup', 'bench'},
    'cli': BASE | CORE | UPPER | {'ros', 'bringup', 'bench', 'cli'},
}
"""Part of the package -> parts it may import; a module at the top is a part of its own."""

ROS = ('rclpy', 'launch', 'launch_ros', 'cv_bridge', 'ament_index_python', 'rosbag2_py', 'tf2_ros')
ONLY_IN = {
    'timm': {'backbones'},
    'torch': {'backbones', 'adapters', 'encoder', 'policy', 'learning', 'evaluation'},
    'onnx': {'encoder'},
    'onnxruntime': {'encoder'},
    'mujoco': {'sim', 'sim2real.twin'},
    'ruckig': {'control'},
    'pinocchio': {'control'},
    'coal': {'control'},
    'matplotlib': {'evaluation'},
    'rich': {'cli'},
}
"""Library -> the only parts (or modules) that import it."""
ROBOT_SIDE = ('camera_node', 'sim2real_node', 'governor_node', 'recorder_node', 'sim_rig_node')


def _name(path):
    """Return 'control.governor' for a module's file, '' for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


def _part(path):
    """Return the part of the package a module's file is in, '' for the package itself."""
    return _name(path).split('.')[0]


def _is_for_types(node):
    return isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.dump(node.test)


@cache
def _imports(path):
    """Return the full dotted names of everything a module imports, functions included."""
    names = []
    waiting = [ast.parse(path.read_text(encoding='utf-8'))]
    while waiting:
        node = waiting.pop()
        if _is_for_types(node):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            names += [f'{node.module}.{alias.name}' for alias in node.names]
        waiting += ast.iter_child_nodes(node)
    return names


def _own(imported):
    """Return the part of this package an import names, or None."""
    parts = imported.split('.')
    return parts[1] if parts[0] == 'roboadapt_ros' and len(parts) > 1 else None


def _is_ros(imported):
    top = imported.split('.')[0]
    is_messages = top.endswith('_msgs') or top in ('builtin_interfaces', 'roboadapt_interfaces')
    return is_messages or top in ROS or top == 'std_srvs'


def test_every_part_of_the_package_has_a_rule():
    parts = {_part(path) for path in MODULES} - {''}
    assert parts <= MAY_IMPORT.keys(), 'say in MAY_IMPORT where the new part stands'


def test_imports_point_one_way():
    wrong = [
        f'{_name(path)} must not import {part}'
        for path in MODULES
        for part in sorted({own for own in map(_own, _imports(path)) if own})
        if _part(path) and part not in MAY_IMPORT[_part(path)]
    ]
    assert not wrong


def _may_import(name, library):
    """Return whether the module of that name may import a library."""
    allowed = ONLY_IN.get(library)
    return allowed is None or any(name == at or name.startswith(f'{at}.') for at in allowed)


def test_libraries_stay_in_their_parts():
    wrong = [
        f'{_name(path)} must not import {imported}'
        for path in MODULES
        for imported in _imports(path)
        if not _may_import(_name(path), imported.split('.')[0])
    ]
    assert not wrong


def test_the_core_knows_no_ros():
    wrong = [
        f'{_name(path)} must not import {imported}'
        for path in MODULES
        if _part(path) not in EDGE
        for imported in filter(_is_ros, _imports(path))
    ]
    assert not wrong


def test_only_the_command_line_prints():
    wrong = [
        f'{_name(path)}, line {node.lineno}: print'
        for path in MODULES
        if _part(path) != 'cli'
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'print'
    ]
    assert not wrong


@cache
def _loaded_after(statement):
    """Return the top-level modules a fresh process has loaded after a statement."""
    code = f'{statement}; import sys; print(*(n for n in sys.modules if "." not in n))'
    words = [sys.executable, '-c', code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize('node', ROBOT_SIDE)
def test_robot_side_nodes_load_no_torch(node):
    """They must start in a second, and live on while the learning side crashes or compiles."""
    loaded = _loaded_after(f'import roboadapt_ros.nodes.{node}')
    assert not loaded & {'torch', 'timm', 'jax', 'scipy', 'matplotlib'}


@pytest.mark.parametrize('module', ['nodes.encoder_node', 'encoder.onnx_engine', 'encoder.choice'])
def test_serving_by_onnxruntime_loads_no_torch(module):
    """Torch takes seconds to load; what only serves exported graphs must not wait for it."""
    loaded = _loaded_after(f'import roboadapt_ros.{module}')
    assert not loaded & {'torch', 'timm', 'onnx'}


def test_only_the_simulated_rig_loads_mujoco():
    for node in ROBOT_SIDE:
        loaded = 'mujoco' in _loaded_after(f'import roboadapt_ros.nodes.{node}')
        assert loaded == (node == 'sim_rig_node')


def test_the_package_itself_and_the_help_load_nothing_heavy():
    statement = 'from roboadapt_ros.cli.main import main; main(["--version-of-nothing"])'
    loaded = _loaded_after(statement)
    assert not loaded & {'numpy', 'torch', 'rclpy', 'rich', 'yaml', 'scipy', 'mujoco'}

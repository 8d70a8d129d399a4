"""Every node: its parameters, its names, and what it loads."""

import ast
from dataclasses import dataclass
import gc
from pathlib import Path

import pytest
import rclpy
from rclpy.lifecycle import LifecycleNode
from roboadapt_ros.ros.node import GraphNode

NODES = Path(__file__).parents[2] / 'roboadapt_ros' / 'nodes'
BASE = NODES.parent / 'ros' / 'node.py'


@pytest.fixture(scope='module')
def taken():
    """Return the attributes that rclpy's own lifecycle node has."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = LifecycleNode('taken', context=context)
    names = set(dir(node))
    node.destroy_node()
    context.try_shutdown()
    return names


def _assigned(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        is_own = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if is_own and isinstance(node.value, ast.Name) and node.value.id == 'self':
            yield node.attr


@pytest.mark.parametrize('path', sorted(NODES.glob('*_node.py')), ids=lambda p: p.stem)
def test_no_method_of_the_base_is_hidden_by_an_attribute(path):
    clashes = set(_assigned(path)) & set(dir(GraphNode))
    assert not clashes, f'{path.name} hides {", ".join(sorted(clashes))} of GraphNode'


@pytest.mark.parametrize('path', [*sorted(NODES.glob('*_node.py')), BASE], ids=lambda p: p.stem)
def test_no_attribute_of_rclpy_is_overwritten(path, taken):
    clashes = set(_assigned(path)) & taken
    assert not clashes, f'{path.name} overwrites what rclpy keeps in {", ".join(sorted(clashes))}'


@dataclass(frozen=True, kw_only=True)
class _Nothing:
    """No parameters."""


def test_what_a_node_has_built_is_not_looked_through_while_it_works(domain):
    """A collection over it stops every thread for up to 0.1 s."""
    rclpy.init(args=[], domain_id=domain)
    node = GraphNode('idle', _Nothing)
    try:
        built = [[] for _ in range(1000)]
        assert node.trigger_configure().name == 'SUCCESS'
        kept = {id(thing) for thing in gc.get_objects()}
        assert not any(id(thing) in kept for thing in built)
        assert node.trigger_cleanup().name == 'SUCCESS'
        kept = {id(thing) for thing in gc.get_objects()}
        assert all(id(thing) in kept for thing in built), 'what is let go can be freed again'
    finally:
        node.destroy_node()
        rclpy.try_shutdown()

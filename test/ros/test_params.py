"""Parameters of nodes: declared from a dataclass, read back, and wrong ones refused."""

from dataclasses import dataclass, fields, is_dataclass
from typing import get_type_hints

import pytest
from roboadapt_ros.errors import ConfigError, UnknownNameError
from roboadapt_ros.ros.field import param
from roboadapt_ros.ros.node_parameters import NODE_PARAMETERS
from roboadapt_ros.ros.params import declare, read, require_known

EVERY = tuple(NODE_PARAMETERS.values())


@dataclass(frozen=True, kw_only=True)
class Example:
    name: str = param(help='a required name')
    rate_hz: float = param(10.0, help='a rate', unit='Hz', minimum=1.0, maximum=100.0)
    count: int = param(3, help='a number', minimum=0)
    kind: str = param('a', help='a choice', choices=('a', 'b'))
    names: tuple[str, ...] = param((), help='names')
    corner: tuple[float, ...] = param((0.0, 1.0), help='a corner', length=2)
    is_on: bool = param(False, help='a switch')


def _set(make_node, *assignments):
    words = [word for assignment in assignments for word in ('-p', assignment)]
    return make_node('example', *words)


def test_defaults_hold_where_nothing_is_set(make_node):
    node = _set(make_node, 'name:=x')
    declare(node, Example)
    assert read(node, Example) == Example(name='x')


def test_what_is_set_arrives_in_the_dataclass(make_node):
    node = _set(
        make_node, 'name:=x', 'rate_hz:=20.0', 'names:=[u, v]', 'corner:=[1.0, 2.0]', 'is_on:=true'
    )
    declare(node, Example)
    wanted = Example(name='x', rate_hz=20.0, names=('u', 'v'), corner=(1.0, 2.0), is_on=True)
    assert read(node, Example) == wanted


def test_a_missing_required_parameter_is_named(make_node):
    node = _set(make_node)
    declare(node, Example)
    with pytest.raises(ConfigError, match=r'parameter name .*is required'):
        read(node, Example)


def test_a_wrong_type_is_named(make_node):
    with pytest.raises(ConfigError, match=r'parameter rate_hz.*must be double'):
        declare(_set(make_node, 'name:=x', 'rate_hz:=fast'), Example)


def test_a_list_of_another_length_is_named(make_node):
    node = _set(make_node, 'name:=x', 'corner:=[1.0, 2.0, 3.0]')
    declare(node, Example)
    with pytest.raises(ConfigError, match=r'parameter corner.*must have 2 entries'):
        read(node, Example)


def test_a_value_out_of_bounds_is_named_with_the_bounds(make_node):
    with pytest.raises(ConfigError, match=r'parameter rate_hz.*1\.0\.\.100\.0'):
        declare(_set(make_node, 'name:=x', 'rate_hz:=0.5'), Example)


def test_a_wrong_choice_is_answered_with_the_nearest(make_node):
    node = _set(make_node, 'name:=x', 'kind:=c')
    declare(node, Example)
    with pytest.raises(UnknownNameError, match=r"kind 'c'.*Available: a, b"):
        read(node, Example)


def test_a_parameter_that_is_not_there_is_answered_with_the_nearest(make_node):
    node = _set(make_node, 'name:=x', 'rate:=20.0')
    declare(node, Example)
    with pytest.raises(UnknownNameError, match=r"parameter 'rate'. Did you mean 'rate_hz'"):
        require_known(node, Example)


def test_parameters_are_read_only_and_described(make_node):
    node = _set(make_node, 'name:=x')
    declare(node, Example)
    described = node.describe_parameter('rate_hz')
    assert described.read_only
    assert described.description == 'a rate [Hz]'
    assert described.floating_point_range[0].to_value == 100.0


@pytest.mark.parametrize('cls', EVERY, ids=lambda cls: cls.__name__)
def test_every_node_declares_its_parameters_with_help(cls, make_node):
    node = make_node('node')
    declare(node, cls)
    sections = get_type_hints(cls)
    for field in fields(cls):
        section = sections[field.name]
        names = [field.name]
        if is_dataclass(section):
            names = [f'{field.name}.{inner.name}' for inner in fields(section)]
        for name in names:
            assert node.describe_parameter(name).description, f'{name} has no help'


@dataclass(frozen=True, kw_only=True)
class Sectioned:
    size: int = param(1, help='a size')
    example: Example = Example(name='unset')


def test_a_dataclass_in_a_field_is_a_section_of_parameters(make_node):
    node = _set(make_node, 'example.name:=x', 'example.rate_hz:=20.0')
    declare(node, Sectioned)
    require_known(node, Sectioned)
    assert read(node, Sectioned) == Sectioned(example=Example(name='x', rate_hz=20.0))


def test_a_misspelt_parameter_of_a_section_is_answered_with_the_nearest(make_node):
    node = _set(make_node, 'example.name:=x', 'example.rate:=20.0')
    declare(node, Sectioned)
    with pytest.raises(UnknownNameError, match=r"Did you mean 'example.rate_hz'"):
        require_known(node, Sectioned)

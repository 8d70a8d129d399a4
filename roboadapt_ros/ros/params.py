"""Node parameters from one frozen dataclass per node, and back.

The dataclass is the only place with names, types, defaults and bounds: each field becomes a
ROS parameter with a description, read-only unless it is dynamic, and what the user set becomes
the dataclass again. A dataclass in a field is a section: its fields are `section.name`.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import typing
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter
from roboadapt_ros.errors import ConfigError, UnknownNameError
from roboadapt_ros.ros.field import bounds_text, check_field, is_ros_own

T = TypeVar('T')

_TYPES = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    tuple[str, ...]: Parameter.Type.STRING_ARRAY,
    tuple[float, ...]: Parameter.Type.DOUBLE_ARRAY,
    tuple[int, ...]: Parameter.Type.INTEGER_ARRAY,
}
_LARGEST = 1e9
"""Bound of a range that is open at one side: ROS ranges have two ends."""


def declare(node: Node, cls: type) -> None:
    """Declare a parameter on `node` for every field of the dataclass `cls`.

    Raises:
        ConfigError: What the user set has the wrong type or is out of bounds.
    """
    for name, field, kind in _parameters(cls):
        value: Any = kind
        # rclpy takes an empty list for bytes, so an empty default stays undeclared in value.
        if field.default is not dataclasses.MISSING and field.default != ():
            value = list(field.default) if isinstance(field.default, tuple) else field.default
        try:
            node.declare_parameter(name, value, _descriptor(name, field, kind))
        except InvalidParameterTypeException as error:
            wanted = kind.name.lower().replace('_', ' ')
            raise ConfigError(
                f'parameter {name}', _given(node, name), f'must be {wanted}'
            ) from error
        except InvalidParameterValueException as error:
            raise ConfigError(
                f'parameter {name}', _given(node, name), bounds_text(field)
            ) from error


def _given(node: Node, name: str) -> object:
    """Return what the user set for a parameter."""
    return node._parameter_overrides[name].value


def require_known(node: Node, cls: type) -> None:
    """Refuse a parameter that was set and that the node does not have.

    rclpy ignores such a parameter, so a misspelt limit would silently stay at its default.

    Raises:
        UnknownNameError: With the nearest right name.
    """
    names = [name for name, _, _ in _parameters(cls)]
    # rclpy gives no public access to what was set and not declared.
    for name in getattr(node, '_parameter_overrides', {}):
        if name not in names and not node.has_parameter(name) and not is_ros_own(name):
            raise UnknownNameError('parameter', name, names)


def read(node: Node, cls: type[T]) -> T:
    """Return the dataclass `cls` filled with the declared parameters of `node`.

    Raises:
        ConfigError: A required parameter is missing, or the dataclass refuses a value.
        UnknownNameError: A value that is not among the field's choices.
    """
    return _read(node, cls, '')


def _read(node: Node, cls: type[T], prefix: str) -> T:
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, cls)):
        if dataclasses.is_dataclass(hints[field.name]):
            section = typing.cast(type, hints[field.name])
            values[field.name] = _read(node, section, f'{prefix}{field.name}.')
            continue
        value = _value(node, prefix + field.name)
        if value is None:
            if field.default is dataclasses.MISSING:
                raise ConfigError(
                    f'parameter {prefix}{field.name}', None, 'is required and was not set'
                )
            value = field.default
        is_list = not isinstance(value, (str, bool, int, float))
        values[field.name] = tuple(value) if is_list else value
        check_field(field, values[field.name], f'parameter {prefix}{field.name}')
    return cls(**values)


def _parameters(
    cls: type, prefix: str = ''
) -> Iterator[tuple[str, dataclasses.Field[Any], Parameter.Type]]:
    """Yield name, field and type of every parameter; a dataclass in a field is a section."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _parameters(hints[field.name], f'{prefix}{field.name}.')
        else:
            yield prefix + field.name, field, _TYPES[hints[field.name]]


def _value(node: Node, name: str) -> Any:
    try:
        return node.get_parameter(name).value
    except ParameterUninitializedException:
        return None


def _descriptor(
    name: str, field: dataclasses.Field[Any], kind: Parameter.Type
) -> ParameterDescriptor:
    """Return help, unit, bounds and choices as ROS shows them."""
    meta = field.metadata
    text = meta.get('help', '')
    if meta.get('unit'):
        text += f' [{meta["unit"]}]'
    read_only = not meta.get('dynamic', False)
    descriptor = ParameterDescriptor(name=name, description=text, read_only=read_only)
    descriptor.type = kind.value
    if meta.get('choices'):
        descriptor.additional_constraints = f'one of {", ".join(meta["choices"])}'
    low, high = meta.get('minimum'), meta.get('maximum')
    if low is None and high is None:
        return descriptor
    low, high = -_LARGEST if low is None else low, _LARGEST if high is None else high
    if kind in (Parameter.Type.INTEGER, Parameter.Type.INTEGER_ARRAY):
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    else:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
        ]
    return descriptor

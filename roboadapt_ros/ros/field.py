"""One setting with its help, unit, bounds and choices: a parameter, and a key of a rig file.

This module must not import rclpy: rig files are read without it.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import math
from typing import Any, get_type_hints

from roboadapt_ros.config import to_type
from roboadapt_ros.errors import ConfigError, UnknownKeyError, UnknownNameError


def param(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    unit: str = '',
    minimum: float | None = None,
    maximum: float | None = None,
    length: int | None = None,
    choices: tuple[str, ...] = (),
    dynamic: bool = False,
) -> Any:
    """Return a dataclass field that is a ROS parameter.

    Args:
        default: Value where nothing is set; without one the parameter is required.
        help: What it is and what raising it does.
        unit: Unit, '' for none.
        minimum: Inclusive lower bound of a number.
        maximum: Inclusive upper bound of a number.
        length: How many values a list has, any number when None.
        choices: Allowed strings, any when empty.
        dynamic: Whether it can be set while the node runs; the node then checks it itself.
    """
    metadata = {
        'help': help,
        'unit': unit,
        'minimum': minimum,
        'maximum': maximum,
        'length': length,
        'choices': choices,
        'dynamic': dynamic,
    }
    return dataclasses.field(default=default, metadata=metadata)


def check_fields(settings: Any, section: str) -> None:
    """Hold the values of a dataclass against the bounds and choices of its fields.

    Args:
        settings: An instance of a dataclass whose fields were made by `param`.
        section: Where it stands, for the message: 'arm.output'.

    Raises:
        UnknownNameError: A string that is not among the choices.
        ConfigError: A number out of bounds.
    """
    for field in dataclasses.fields(settings):
        check_field(field, getattr(settings, field.name), f'{section}.{field.name}')


def read_section(cls: type, mapping: object, section: str) -> dict[str, Any]:
    """Return what a mapping sets of the fields of a dataclass, converted and checked.

    Args:
        cls: A dataclass whose fields were made by `param`. One that is a dataclass itself is no
            part of the section: it has one of its own.
        mapping: Field to value; not all have to be there. ROS's own parameters may be.
        section: Where it stands, for the message: 'nodes.governor'.

    Raises:
        UnknownKeyError: A key that is no field, with the nearest one.
        UnknownNameError: A string that is not among the choices.
        ConfigError: A value of another type or length, or a number out of bounds.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(section, mapping, f'must be a mapping of {cls.__name__} fields')
    hints = get_type_hints(cls)
    fields = {
        field.name: field
        for field in dataclasses.fields(cls)
        if not dataclasses.is_dataclass(hints[field.name])
    }
    found: dict[str, Any] = {}
    for key, value in mapping.items():
        if is_ros_own(str(key)):
            found[key] = value
            continue
        if key not in fields:
            raise UnknownKeyError(section, str(key), fields)
        found[key] = to_type(hints[key], value, f'{section}.{key}')
        check_field(fields[key], found[key], f'{section}.{key}')
    return found


def is_ros_own(name: str) -> bool:
    """Return whether every ROS node has a parameter of that name."""
    section, _, _ = name.partition('.')
    return section == 'qos_overrides' or name in ('use_sim_time', 'start_type_description_service')


def check_options(settings: Any, section: str, options: Mapping[str, tuple[str, ...]]) -> None:
    """Hold that what was set is an option of the driver that was chosen.

    Args:
        settings: As `check_fields`, with a field `driver`.
        section: Where it stands, for the message.
        options: Driver -> options it takes.

    Raises:
        ConfigError: An option of another driver.
    """
    allowed = options[settings.driver]
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        drivers = [name for name, taken in options.items() if field.name in taken]
        # What no driver lists is not an option but a name that a rig file adds.
        if drivers and field.name not in allowed and value != field.default:
            raise ConfigError(
                f'{section}.{field.name}',
                value,
                f'is an option of {", ".join(drivers)}; {settings.driver} takes '
                f'{", ".join(allowed)}',
            )


def check_field(field: dataclasses.Field[Any], value: Any, where: str) -> None:
    """Hold a value, or each of several, against a field's length, bounds and choices.

    Raises:
        UnknownNameError: A string that is not among the choices.
        ConfigError: More or fewer values than the field has, or a number out of bounds.
    """
    length, choices = field.metadata.get('length'), field.metadata.get('choices') or ()
    if length is not None and len(value) != length:
        raise ConfigError(where, value, f'must have {length} entries')
    for item in value if isinstance(value, tuple) else (value,):
        if choices and item not in choices:
            raise UnknownNameError(where, str(item), choices)
        if not is_within(field, item):
            raise ConfigError(where, item, bounds_text(field))


def is_within(field: dataclasses.Field[Any], value: Any) -> bool:
    """Return whether a value keeps the bounds of a field, where it has some; infinity does not."""
    low, high = field.metadata.get('minimum'), field.metadata.get('maximum')
    is_bounded = low is not None or high is not None
    if is_bounded and not math.isfinite(value):
        return False
    return (low is None or value >= low) and (high is None or value <= high)


def bounds_text(field: dataclasses.Field[Any]) -> str:
    """Return the rule a number has to keep: 'must be within 0..0.3'."""
    low, high = field.metadata.get('minimum'), field.metadata.get('maximum')
    return f'must be within {low if low is not None else ""}..{high if high is not None else ""}'

"""One setting with its help, unit, bounds and choices: a parameter, and a key of a rig file.

This module must not import rclpy: rig files are read without it.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any, get_type_hints

from roboadapt_ros.config import convert
from roboadapt_ros.errors import ConfigError, UnknownKeyError, UnknownNameError

ROS_OWN = ('qos_overrides.', 'use_sim_time', 'start_type_description_service')
"""How the names of parameters begin that every ROS node has."""


def param(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    unit: str = '',
    minimum: float | None = None,
    maximum: float | None = None,
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
        choices: Allowed strings, any when empty.
        dynamic: Whether it can be set while the node runs; the node then checks it itself.
    """
    metadata = {
        'help': help,
        'unit': unit,
        'minimum': minimum,
        'maximum': maximum,
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
        _check_field(field, getattr(settings, field.name), f'{section}.{field.name}')


def read_section(cls: type, mapping: object, section: str) -> dict[str, Any]:
    """Return what a mapping sets of the fields of a dataclass, converted and checked.

    Args:
        cls: A dataclass whose fields were made by `param`; nested ones are sections of their own.
        mapping: Field to value; not all have to be there. ROS's own parameters may be.
        section: Where it stands, for the message: 'nodes.governor'.

    Raises:
        UnknownKeyError: A key that is no field, with the nearest one.
        UnknownNameError: A string that is not among the choices.
        ConfigError: A value of another type, or a number out of bounds.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(section, mapping, f'must be a mapping of {cls.__name__} fields')
    fields, hints = {field.name: field for field in dataclasses.fields(cls)}, get_type_hints(cls)
    found: dict[str, Any] = {}
    for key, value in mapping.items():
        where = f'{section}.{key}'
        if str(key).startswith(ROS_OWN):
            found[key] = value
        elif key not in fields:
            raise UnknownKeyError(section, str(key), fields)
        elif dataclasses.is_dataclass(hints[key]):
            found[key] = read_section(hints[key], value, where)
        else:
            found[key] = convert(hints[key], value, where)
            _check_field(fields[key], found[key], where)
    return found


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


def _check_field(field: dataclasses.Field[Any], value: Any, where: str) -> None:
    """Hold a value, or each of several, against a field's bounds and choices."""
    choices = field.metadata.get('choices') or ()
    for item in value if isinstance(value, tuple) else (value,):
        if choices and item not in choices:
            raise UnknownNameError(where, str(item), choices)
        if not is_within(field, item):
            raise ConfigError(where, item, bounds_text(field))


def is_within(field: dataclasses.Field[Any], value: Any) -> bool:
    """Return whether a value keeps the bounds of a field, where it has some."""
    low, high = field.metadata.get('minimum'), field.metadata.get('maximum')
    return (low is None or value >= low) and (high is None or value <= high)


def bounds_text(field: dataclasses.Field[Any]) -> str:
    """Return the rule a number has to keep: 'must be within 0..0.3'."""
    low, high = field.metadata.get('minimum'), field.metadata.get('maximum')
    return f'must be within {low if low is not None else ""}..{high if high is not None else ""}'

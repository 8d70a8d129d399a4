"""Options from settings: a frozen dataclass becomes argparse options, and back.

Defaults, units and help live in the dataclass alone; an option that is not given is not in
the namespace, so nothing here restates a default.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import dataclasses
import enum
import math
from pathlib import Path
import re
import types
import typing
from typing import Any, TypeVar

from roboadapt_ros.errors import ConfigError, UnknownNameError
from roboadapt_ros.ros.field import bounds_text, is_within

T = TypeVar('T')


def add_options(
    parser: argparse.ArgumentParser, cls: type[Any], *, skip: tuple[str, ...] = ()
) -> None:
    """Add one `--kebab-case` option per field of `cls`.

    Args:
        parser: Parser to extend.
        cls: A dataclass whose fields carry `metadata` 'help' and, for numbers, 'unit'.
        skip: Fields that the command sets in another way.
    """
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.init and field.name not in skip:
            kind, several = _kind(hints[field.name])
            parser.add_argument(
                f'--{field.name.replace("_", "-")}',
                dest=field.name,
                default=argparse.SUPPRESS,
                required=_default(field) is dataclasses.MISSING,
                help=_help(field),
                **_argument(field.name, kind, several),
            )


def from_options(cls: type[T], options: argparse.Namespace, **fixed: Any) -> T:
    """Build `cls` from what was given on the command line.

    Args:
        cls: The dataclass that `add_options` was called with.
        options: Parsed arguments.
        fixed: Fields the command sets itself.

    Raises:
        ConfigError: A value that breaks the dataclass's own rules.
    """
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(typing.cast(Any, cls))
        if hasattr(options, field.name) and field.name not in fixed
    }
    tuples = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    settings = cls(**{**given, **tuples, **fixed})
    _check_bounds(settings)
    return settings


def _check_bounds(settings: Any) -> None:
    """Raise `ConfigError` for a number that is not finite or out of its field's bounds."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        option = f'--{field.name.replace("_", "-")}'
        for item in value if isinstance(value, tuple) else (value,):
            if not is_within(field, item):
                raise ConfigError(option, item, bounds_text(field))
            if isinstance(item, float) and not math.isfinite(item):
                raise ConfigError(option, item, 'must be finite')


def whole(option: str, least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads an option that is a whole number within bounds."""
    rule = f'must be a whole number, {least} ' + ('or more' if most is None else f'to {most}')

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ConfigError(option, text, rule) from None
        if value < least or (most is not None and value > most):
            raise ConfigError(option, value, rule)
        return value

    return read


def domain(text: str) -> int:
    """Read a ROS domain; above 232 its ports do not exist."""
    return whole('--domain', 0, 232)(text)


def namespace(text: str) -> str:
    """Read a ROS namespace; '' is none."""
    if re.fullmatch(r'(/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*)?', text, re.ASCII) is None:
        raise ConfigError(
            '--namespace', text, "must be names of letters, digits and '_', like left/arm"
        )
    return text


def add_models(parser: argparse.ArgumentParser, *, may_be_new: bool = False) -> None:
    """Add `--models`, read by `models_folder`.

    Args:
        parser: Parser to extend.
        may_be_new: Whether a folder that is not there will do: the command makes it.
    """
    parser.add_argument(
        '--models',
        type=Path if may_be_new else _models,
        metavar='PATH',
        help="models folder (default: the package's own)",
    )


def models_folder(options: argparse.Namespace) -> Path:
    """Return the folder of `--models`, or the package's own."""
    from roboadapt_ros.bringup.paths import models_dir

    folder: Path | None = options.models
    return folder or models_dir()


def _models(text: str) -> Path:
    """Read a models folder that must be there."""
    if not Path(text).is_dir():
        raise ConfigError('--models', text, 'must be a folder with backbones/ and tasks/')
    return Path(text)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _help(field: dataclasses.Field[Any]) -> str:
    """Return 'What it is [unit] (default: value)', percent signs escaped for argparse."""
    unit = field.metadata.get('unit')
    default = _default(field)
    text = str(field.metadata.get('help', field.name.replace('_', ' ')))
    if unit:
        text += f' [{unit}]'
    if default is not dataclasses.MISSING and default is not None:
        text += f' (default: {_text(default)})'
    return text.replace('%', '%%')


def _text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return 'on' if value else 'off'
    if isinstance(value, (tuple, list)):
        return ' '.join(_text(item) for item in value) or 'none'
    return str(value)


def _kind(hint: Any) -> tuple[Any, bool]:
    """Return the scalar type behind `hint`, and whether it takes several values."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        remaining = [a for a in arguments if a is not type(None)]
        return _kind(remaining[0])
    if origin in (tuple, list):
        return _kind(arguments[0])[0], True
    return hint, False


def _argument(name: str, kind: Any, several: bool) -> dict[str, Any]:
    """Return what argparse needs to read a value of `kind`."""
    if kind is bool:
        return {'action': argparse.BooleanOptionalAction}
    reader: Any = kind if kind in (int, float, Path) else str
    metavar = {int: 'N', float: 'X', Path: 'PATH'}.get(kind, name.rsplit('_', 1)[-1].upper())
    arguments: dict[str, Any] = {'type': reader, 'metavar': metavar}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        arguments = {'type': _enum_reader(kind), 'metavar': '|'.join(str(m.value) for m in kind)}
    elif typing.get_origin(kind) is typing.Literal:
        arguments = {'type': str, 'choices': typing.get_args(kind)}
    return {**arguments, 'nargs': '+'} if several else arguments


def _enum_reader(kind: type[enum.Enum]) -> Any:
    def read(text: str) -> enum.Enum:
        for member in kind:
            if str(member.value) == text:
                return member
        raise UnknownNameError(kind.__name__, text, [str(m.value) for m in kind])

    return read

"""Frozen dataclasses from plain mappings, strictly.

One function turns what YAML or JSON holds into a dataclass: unknown keys are refused with
the nearest name, wrong types with the field's path. Imports the standard library, yaml
and `errors` only.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import enum
import json
from pathlib import Path
import types
import typing
from typing import Any, TypeVar

from roboadapt_ros.errors import ConfigError, PackageError, UnknownKeyError, UnknownNameError
import yaml

T = TypeVar('T')


def from_mapping(cls: type[T], mapping: object, source: str) -> T:
    """Build the dataclass `cls` from `mapping`.

    Args:
        cls: A dataclass; nested dataclasses, enums, tuples, dicts and unions with None work.
        mapping: What the file holds.
        source: File or section, for messages.

    Returns:
        An instance whose own `__post_init__` checks have passed.

    Raises:
        UnknownKeyError: A key no field answers to.
        ConfigError: A missing key, or a value of the wrong type.
        UnknownNameError: A value that is not among an enum's choices.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(source, mapping, f'must be a mapping of {cls.__name__} fields')
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, cls)) if f.init}
    for key in mapping:
        if key not in fields:
            raise UnknownKeyError(source, str(key), fields)
    hints = typing.get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        if name in mapping:
            values[name] = _convert(hints[name], mapping[name], f'{source}.{name}')
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f'{source}.{name}', None, 'is required and missing')
    return cls(**values)


def to_mapping(value: Any) -> Any:
    """Return plain dicts, lists, numbers and strings for a dataclass, recursively."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_mapping(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): to_mapping(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_mapping(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value


def load_yaml(cls: type[T], path: Path) -> T:
    """Read a YAML file into `cls`.

    Raises:
        PackageError: The file is missing or is not YAML.
        ConfigError: As `from_mapping`.
        UnknownKeyError: As `from_mapping`.
    """
    try:
        mapping = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise PackageError(path, f'cannot be read ({error.strerror})', 'a YAML file') from error
    except yaml.YAMLError as error:
        raise PackageError(path, f'is not YAML ({error})', 'a YAML file') from error
    return from_mapping(cls, mapping, path.name)


def load_json(cls: type[T], path: Path) -> T:
    """Read a JSON file into `cls`; raises as `load_yaml` does."""
    try:
        mapping = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise PackageError(path, f'cannot be read ({error.strerror})', 'a JSON file') from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PackageError(path, f'is not JSON ({error})', 'a JSON file') from error
    return from_mapping(cls, mapping, path.name)


def save_json(value: Any, path: Path) -> None:
    """Write a dataclass as JSON with full float precision, replacing the file atomically."""
    text = json.dumps(to_mapping(value), indent=2, allow_nan=False) + '\n'
    temporary = path.with_suffix(path.suffix + '.part')
    temporary.write_text(text, encoding='utf-8')
    temporary.replace(path)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the annotated type `hint`, or raise naming `where`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(args, value, where)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if origin is tuple:
        return _convert_tuple(args, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(where, value, 'must be a mapping')
        return {str(k): _convert(args[1], v, f'{where}.{k}') for k, v in value.items()}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            raise UnknownNameError(where, str(value), [str(m.value) for m in hint]) from None
    return _convert_scalar(hint, value, where)


def _convert_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    remaining = [a for a in args if a is not type(None)]
    if len(remaining) == 1:
        return _convert(remaining[0], value, where)
    for option in remaining:
        try:
            return _convert(option, value, where)
        except ConfigError:
            continue
    raise ConfigError(where, value, f'must be one of {remaining}')


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(where, value, 'must be a list')
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_convert(args[0], v, f'{where}[{i}]') for i, v in enumerate(value))
    if len(args) != len(value):
        raise ConfigError(where, value, f'must have {len(args)} entries')
    return tuple(
        _convert(a, v, f'{where}[{i}]') for i, (a, v) in enumerate(zip(args, value, strict=True))
    )


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, bool) and hint is not bool:
        raise ConfigError(where, value, f'must be {hint.__name__}')
    if not isinstance(value, hint):
        raise ConfigError(where, value, f'must be {getattr(hint, "__name__", hint)}')
    return value

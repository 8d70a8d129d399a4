"""Frozen dataclasses from plain mappings, strictly.

One function turns what YAML or JSON holds into a dataclass: unknown keys are refused with
the nearest name, wrong types with the field's path. Imports the standard library, yaml,
`errors` and `files` only.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import enum
import json
import math
from pathlib import Path
import re
import types
import typing
from typing import Any, TypeVar

from roboadapt_ros.errors import ConfigError, PackageError, UnknownKeyError, UnknownNameError
from roboadapt_ros.files import read_bytes, replacing
import yaml

T = TypeVar('T')

MAX_JSON_BYTES = 8 * 1024 * 1024
"""A JSON file larger than this is refused unread."""
MAX_JSON_DEPTH = 32
"""Deepest nesting of a JSON file."""
_PLAIN_NAME = re.compile(r'[a-z0-9][a-z0-9_.-]{0,99}')


def require_plain_name(field: str, name: str) -> str:
    """Return a name that is safe as a folder's.

    Args:
        field: Which setting, for the message.
        name: What it holds.

    Raises:
        ConfigError: It is not made of lower-case letters, digits, '_', '.' and '-', or begins
            with anything but a letter or digit: it could lead out of its folder.
    """
    if not _PLAIN_NAME.fullmatch(name):
        raise ConfigError(
            field,
            name[:100],
            "must be 1..100 of a-z, 0-9, '_', '.' and '-', beginning with a letter or digit",
        )
    return name


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
            values[name] = to_type(hints[name], mapping[name], f'{source}.{name}')
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
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PackageError(path, f'is not YAML ({error})', 'a YAML file') from error
    return from_mapping(cls, mapping, path.name)


def load_json(cls: type[T], path: Path) -> T:
    """Read a JSON file into `cls`.

    Raises:
        PackageError: The file is missing, too large, too deep, or not JSON (NaN and numbers
            beyond the range of floats are not).
        ConfigError: As `from_mapping`.
        UnknownKeyError: As `from_mapping`.
    """
    return parse_json(cls, read_bytes(path, MAX_JSON_BYTES), path)


def parse_json(cls: type[T], data: bytes, path: Path) -> T:
    """Return what `load_json` does of a file's bytes; `path` is for messages."""
    return from_mapping(cls, _parse_json(data, path), str(path))


def _parse_json(data: bytes, path: Path) -> Any:
    """Return what JSON in UTF-8 holds; see `load_json`."""
    try:
        value = json.loads(data.decode(), parse_constant=_finite, parse_float=_finite)
        _require_shallow(value, path)
        # Half a surrogate pair is JSON, but no text that can be printed or sent.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise PackageError(path, f'is not JSON ({error})', 'a JSON file') from error
    return value


def _finite(text: str) -> float:
    """Return a float; JSON has no NaN and no infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{text} is not a finite number')
    return value


def _require_shallow(value: Any, path: Path) -> None:
    """Raise `PackageError` for nesting that recursive code could not follow."""
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise PackageError(path, 'is nested too deeply', f'at most {MAX_JSON_DEPTH} levels')


def save_json(value: Any, path: Path) -> None:
    """Write a dataclass as JSON with full float precision, replacing the file atomically."""
    text = json.dumps(to_mapping(value), indent=2, allow_nan=False) + '\n'
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def to_type(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the annotated type `hint`.

    Raises:
        ConfigError: It is of another type; the message names `where`.
        UnknownNameError: As `from_mapping`.
    """
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
        return {str(k): to_type(args[1], v, f'{where}.{k}') for k, v in value.items()}
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
        return to_type(remaining[0], value, where)
    for option in remaining:
        try:
            return to_type(option, value, where)
        except ConfigError:
            continue
    raise ConfigError(where, value, f'must be one of {remaining}')


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(where, value, 'must be a list')
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(to_type(args[0], v, f'{where}[{i}]') for i, v in enumerate(value))
    if len(args) != len(value):
        raise ConfigError(where, value, f'must have {len(args)} entries')
    return tuple(
        to_type(a, v, f'{where}[{i}]') for i, (a, v) in enumerate(zip(args, value, strict=True))
    )


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise ConfigError(where, '<a huge number>', 'must be a float') from None
        if math.isnan(number):
            raise ConfigError(where, value, 'must be a number')
        return number
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, bool) and hint is not bool:
        raise ConfigError(where, value, f'must be {hint.__name__}')
    if not isinstance(value, hint):
        raise ConfigError(where, value, f'must be {getattr(hint, "__name__", hint)}')
    return value

"""Message definitions as text, for files that must be readable without this project."""

from __future__ import annotations

import os
from pathlib import Path
import re
import sys

from roboadapt_ros.errors import ConfigError

_SEPARATOR = '=' * 80


def definition(type_name: str) -> str:
    """Return the definition of 'package/msg/Name' with those it is made of (ros2msg format).

    Raises:
        ConfigError: A .msg file is not among the installed share files.
    """
    parts, waiting, seen = [], [type_name], set()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        text = _read(name)
        title = f'{_SEPARATOR}\nMSG: {name.replace("/msg/", "/")}\n' if parts else ''
        parts.append(title + text)
        waiting += _nested(text, name.partition('/')[0])
    return '\n'.join(parts)


def _read(type_name: str) -> str:
    package, _, name = type_name.split('/')
    prefixes = [
        *filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)),
        sys.prefix,
    ]
    for prefix in prefixes:
        path = Path(prefix, 'share', package, 'msg', f'{name}.msg')
        if path.is_file():
            return path.read_text(encoding='utf-8')
    raise ConfigError('message definition', type_name, f'must be under {", ".join(prefixes)}')


def _nested(text: str, package: str) -> list[str]:
    """Return the message types that the fields of a definition name."""
    found = []
    for line in text.splitlines():
        field = line.partition('#')[0].split()
        if len(field) < 2 or '=' in field[1]:
            continue
        kind = re.sub(r'\[.*?\]|<=\d+', '', field[0])
        if '/' in kind:
            owner, _, name = kind.rpartition('/')
            found.append(f'{owner.removesuffix("/msg")}/msg/{name}')
        elif kind[:1].isupper():
            found.append(f'{package}/msg/{kind}')
    return found

"""Where the files that come with the package are: a source checkout or an installed share tree.

This module imports the standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path
import sys

from roboadapt_ros.errors import BringupError

PACKAGE = 'roboadapt_ros'


def share_dir() -> Path:
    """Return the folder that holds `config`, `launch` and `models`.

    A source checkout (also an editable install of it) wins; otherwise the first prefix of
    AMENT_PREFIX_PATH, then the interpreter's own prefix, whose share tree has the package.

    Raises:
        BringupError: If none of them holds the package's files.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / 'config').is_dir() and (checkout / 'package.xml').is_file():
        return checkout
    prefixes = [
        *filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)),
        sys.prefix,
    ]
    for prefix in prefixes:
        share = Path(prefix, 'share', PACKAGE)
        if share.is_dir():
            return share
    raise BringupError(
        f'The files of {PACKAGE} are in none of: {", ".join([str(checkout), *prefixes])}. '
        "Source the workspace's install/setup.bash, or run 'make setup' in a source checkout."
    )


def config_dir() -> Path:
    """Return the folder of configuration files."""
    return share_dir() / 'config'


def models_dir() -> Path:
    """Return the folder of backbone and task packages."""
    return share_dir() / 'models'

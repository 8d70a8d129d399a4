"""What asking a model hub can come to, as errors of this project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import errno
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its client's own
from roboadapt_ros.errors import ConfigError, HubError

_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of this machine's disk: no fault of a hub."""


@contextmanager
def hub_faults(repository: str, endpoint: str | None, remedy: str) -> Iterator[None]:
    """Turn what the hub's client raises into `HubError`.

    Args:
        repository: What is asked for.
        endpoint: Address of the hub; None: HF_ENDPOINT, else the public one.
        remedy: What to do, for the message.

    Raises:
        ConfigError: The address is none.
        HubError: The hub can't be reached, refuses, or answers with something else.
    """
    address = endpoint or constants.ENDPOINT
    _require_address('HF_ENDPOINT' if endpoint is None else '--endpoint', address)
    try:
        yield
    except (HTTPError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        lines = str(error).split('\n')
        problem = next((line for line in lines if line.strip()), type(error).__name__)
        raise HubError(
            repository, f'{type(error).__name__} from {address}: {problem}', remedy
        ) from error


def _require_address(name: str, address: str) -> None:
    """Raise `ConfigError` for what is no address of a web server."""
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ('http', 'https') and bool(parts.hostname)
        is_one = is_one and parts.port != 0  # reading it raises for what is no port
    except ValueError:
        is_one = False
    if not is_one:
        raise ConfigError(name, address, 'must be an address such as https://huggingface.co')

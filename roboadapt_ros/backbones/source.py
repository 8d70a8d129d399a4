"""Where pretrained tensors come from: the hub's cache, or a file.

Nothing here runs code from a file: a torch file is read as tensors only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
import hashlib
from pathlib import Path
import pickle
import re
import struct
from typing import Any
from urllib.parse import urlparse

from huggingface_hub import constants as hub
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError
from roboadapt_ros.backbones.hub import hub_faults
from roboadapt_ros.backbones.tensors import read_tensors
from roboadapt_ros.errors import ConfigError, HubError, PackageError
from timm.models import PretrainedCfg
import torch

TORCH_SUFFIXES = ('.pt', '.pth', '.bin', '.tar', '.ckpt')
HUB_FILES = ('model.safetensors', 'pytorch_model.bin')
"""Weights of a hub repository, the first found wins."""
MAX_NESTING = 6
"""Deepest mapping inside a checkpoint that is looked into."""
_TORCH_FAULTS = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    struct.error,
    AssertionError,
    AttributeError,
)
"""What torch raises of files that are damaged or none of its own, beside `UnpicklingError`."""
_NAMED_HASH = re.compile(r'-([0-9a-f]{8,64})\.')
"""First digits of its sha256 in a file's name, as torch's hub has them. Fewer than eight are not
meant so: 'IN1K-vit.h.14-300e.pth.tar' counts epochs."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors as they were found, under flat names."""

    tensors: dict[str, torch.Tensor]
    """Nested mappings are joined by dots: `{'state_dict': {'fc.bias': …}}` has
    'state_dict.fc.bias'."""
    origin: str
    """The hub's repository, the address or the file."""
    sha256: str
    """Of the file."""


def read_file(path: Path) -> Checkpoint:
    """Return the tensors of a local checkpoint.

    Args:
        path: A .safetensors file, or a torch file (.pt, .pth, .bin, .tar, .ckpt).

    Raises:
        ConfigError: Another kind of file.
        PackageError: Missing, unreadable, or in need of Python objects beyond tensors.
    """
    if path.suffix not in ('.safetensors', *TORCH_SUFFIXES):
        known = ', '.join(('.safetensors', *TORCH_SUFFIXES))
        raise ConfigError('--file', str(path), f'must be a file of one of the kinds {known}')
    try:
        sha256 = _sha256(path)
    except OSError as error:
        raise PackageError(
            path, f'cannot be read ({error.strerror})', 'a readable file'
        ) from error
    found = read_tensors(path) if path.suffix == '.safetensors' else _read_torch(path)
    tensors = flatten(found)
    if not tensors:
        raise PackageError(path, 'holds no tensors', 'a checkpoint: named tensors')
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
            raise PackageError(path, f"has '{name}' without plain values", 'plain dense tensors')
    return Checkpoint(tensors, path.name, sha256)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while part := file.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise PackageError(
            path,
            f'needs Python objects beyond tensors ({_first_line(error)}), which could run code',
            'tensors only; where you trust the file, load it there and save its state_dict anew '
            'with safetensors',
        ) from error
    except _TORCH_FAULTS as error:
        raise PackageError(
            path,
            f'cannot be read ({type(error).__name__}: {_first_line(error)})',
            'a whole torch file',
        ) from error


def _first_line(error: BaseException) -> str:
    """Return what a long message says first; of torch's, the sentence with the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if 'Unsupported' in line or 'GLOBAL' in line]
    return (reasons or lines or [type(error).__name__])[0][:200]


def flatten(found: Any, prefix: str = '', depth: int = 0) -> dict[str, torch.Tensor]:
    """Return the tensors of nested mappings under dotted names; all else is left out."""
    tensors: dict[str, torch.Tensor] = {}
    if not isinstance(found, Mapping) or depth > MAX_NESTING:
        return tensors
    for key, value in found.items():
        name = f'{prefix}{key}'
        if isinstance(value, torch.Tensor):
            tensors[name] = value.detach()
        else:
            tensors |= flatten(value, f'{name}.', depth + 1)
    return tensors


def read_pretrained(name: str, config: PretrainedCfg) -> Checkpoint:
    """Return a timm model's released weights, from the hub's cache or the network.

    Args:
        name: timm name with tag, for messages.
        config: timm's record of it.

    Raises:
        ConfigError: timm has no weights of that name.
        HubError: They are neither in the cache nor to be had from the network.
        PackageError: The cached file is damaged.
    """
    if config.hf_hub_id:
        cached = read_file(_from_hub(name, config))
        return replace(cached, origin=f'hub {config.hf_hub_id}')
    address = config.url[0] if isinstance(config.url, (tuple, list)) else config.url
    if not address:
        raise ConfigError(
            'timm name', name, 'has no pretrained weights in timm; give --file or --random'
        )
    return replace(_from_address(name, address), origin=address)


def _from_address(name: str, address: str) -> Checkpoint:
    """Return what torch's cache has of an address, which is asked for what is not cached."""
    file = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(address).path).name)
    found = _NAMED_HASH.search(file.name)
    start = found[1] if found else ''
    if not file.exists():
        if hub.HF_HUB_OFFLINE:
            raise HubError(address, 'was not asked: HF_HUB_OFFLINE is set', _remedy(name))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(file), start or None, progress=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise HubError(address, _first_line(error), _remedy(name)) from error
    checkpoint = read_file(file)
    if not checkpoint.sha256.startswith(start):
        raise PackageError(
            file,
            f'is damaged (sha256 {checkpoint.sha256[:12]})',
            f'the file with sha256 {start} of its name; remove it to have it fetched again',
        )
    return checkpoint


def _from_hub(name: str, config: PretrainedCfg) -> Path:
    """Return the cached weights file; the network is asked only for what is not cached."""
    repository, _, revision = str(config.hf_hub_id).partition('@')
    files = [config.hf_hub_filename] if config.hf_hub_filename else list(HUB_FILES)
    for file in files:
        cached = try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    asked = 'was not asked: HF_HUB_OFFLINE is set' if hub.HF_HUB_OFFLINE else 'did not give them'
    problem = f'not in the cache {hub.HF_HUB_CACHE}, and {hub.ENDPOINT} {asked}'
    for file in files:
        try:
            with hub_faults(repository, None, _remedy(name)):
                return Path(hf_hub_download(repository, file, revision=revision or None))
        except HubError as error:
            problem += f'; {file}: {error.problem}'
            if not isinstance(error.__cause__, RemoteEntryNotFoundError):
                break
    raise HubError(repository, problem, _remedy(name))


def _remedy(name: str) -> str:
    return (
        f"run 'roboadapt backbones add {name}' once with a network, copy the cache of a machine "
        'that has them, or give a file with --file PATH'
    )

"""Resumable training state as one safetensors file: no pickle.

The file's metadata say which run it is of and how far that has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

from roboadapt_ros.backbones.tensors import read_tensors, require_tensors
from roboadapt_ros.config import parse_json, to_mapping
from roboadapt_ros.errors import ConfigError, PackageError
from roboadapt_ros.files import replacing
import safetensors
import safetensors.torch
import torch
from torch import nn

_KEY = 'roboadapt'
"""Of the metadata."""
_LARGEST_SHOWN = 60
"""Characters of a value that differs, after which it is named only."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Steps done in one go."""

    to: int
    """Steps done at its end."""
    of: int
    """Length of the learning rate's schedule."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How far a run has come."""

    parts: tuple[Part, ...] = ()
    """One for each time it was begun or resumed."""
    seconds: float = 0.0
    """Time spent on it."""

    def __post_init__(self) -> None:
        """Check each part goes on from the one before."""
        steps = [0, *(part.to for part in self.parts)]
        if steps != sorted(set(steps)) or any(part.to > part.of for part in self.parts):
            raise ConfigError('parts', to_mapping(self.parts), 'must be steps that go up')
        if self.seconds < 0.0:
            raise ConfigError('seconds', self.seconds, 'must be at least 0')

    @property
    def step(self) -> int:
        """Steps done."""
        return self.parts[-1].to if self.parts else 0


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What the metadata hold."""

    run: dict[str, Any]
    done: Done


class Checkpoint:
    """Saves and restores what is trained (not the frozen base) and AdamW's moments."""

    def __init__(self, path: Path, run: Mapping[str, Any]):
        """Remember the file and the run.

        Args:
            path: The file.
            run: What makes the run this one, of what JSON can hold; see `Plan.identity`.
        """
        self.path, self.run = path, json.loads(json.dumps(run))

    def exists(self) -> bool:
        """Return True when there is something to resume from."""
        return self.path.exists()

    def done(self) -> Done:
        """Return how far the run has come, without reading the tensors; nothing without a file.

        Raises:
            PackageError: The file is broken, does not say of which run it is, or is of another.
            ConfigError: It says how far it has come in a way that can't be.
        """
        if not self.exists():
            return Done()
        header = self._header()
        both = header.run.keys() | self.run.keys()
        differ = [name for name in sorted(both) if header.run.get(name) != self.run.get(name)]
        if differ:
            found = ', '.join(_shown(name, header.run.get(name)) for name in differ)
            wanted = ', '.join(_shown(name, self.run.get(name)) for name in differ)
            raise PackageError(
                self.path,
                f'is of another run ({found})',
                f'one of this run ({wanted}); delete it to begin anew',
            )
        return header.done

    def save(self, model: nn.Module, optimiser: torch.optim.Optimizer, done: Done) -> None:
        """Write atomically."""
        tensors = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                tensors[f'model.{name}'] = parameter.detach().contiguous()
                for key, value in optimiser.state[parameter].items():
                    tensors[f'optimiser.{name}.{key}'] = value.detach().contiguous()
        header = json.dumps(to_mapping(_Header(run=self.run, done=done)))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary:
            temporary.write_bytes(safetensors.torch.save(tensors, metadata={_KEY: header}))

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> Done:
        """Load into `model` and `optimiser`; return how far the run has come.

        Raises:
            TensorError: Its tensors are not exactly those of the model and of AdamW.
            RoboAdaptError: As `done`.
        """
        done = self.done()
        if not done.parts:
            return done
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        wanted = {f'model.{name}': parameter.detach() for name, parameter in trained.items()}
        for name, parameter in trained.items():
            wanted |= {f'optimiser.{name}.{k}': v for k, v in _moments(parameter).items()}
        tensors = read_tensors(self.path)
        require_tensors(self.path, tensors, wanted)
        for name, parameter in trained.items():
            parameter.data.copy_(tensors[f'model.{name}'])
            optimiser.state[parameter] = {
                key: tensors[f'optimiser.{name}.{key}'] for key in _moments(parameter)
            }
        return done

    def remove(self) -> None:
        """Delete the file once the run has ended."""
        self.path.unlink(missing_ok=True)

    def _header(self) -> _Header:
        try:
            with safetensors.safe_open(self.path, 'pt') as file:
                text = (file.metadata() or {}).get(_KEY)
        except (OSError, safetensors.SafetensorError) as error:
            raise PackageError(
                self.path, f'cannot be resumed ({error})', 'a whole checkpoint; delete it'
            ) from error
        if text is None:
            raise PackageError(
                self.path,
                'does not say of which run it is (written by an older version, or by another '
                'program)',
                'a checkpoint of this version; delete it to begin anew',
            )
        return parse_json(_Header, text.encode(), self.path)


def _moments(parameter: nn.Parameter) -> dict[str, torch.Tensor]:
    """Return tensors of the kinds that AdamW keeps for a parameter."""
    like = parameter.detach()
    return {'step': torch.zeros(()), 'exp_avg': like, 'exp_avg_sq': like}


def _shown(name: str, value: Any) -> str:
    text = json.dumps(value)
    return f'{name} {text}' if len(text) <= _LARGEST_SHOWN else f'{name} {text[:_LARGEST_SHOWN]}…'

"""Resumable training state as one safetensors file: no pickle."""

from __future__ import annotations

from pathlib import Path

from roboadapt_ros.errors import PackageError
from roboadapt_ros.files import replacing
import safetensors
import safetensors.torch
import torch
from torch import nn


class Checkpoint:
    """Saves and restores what is trained (not the frozen base) and AdamW's moments."""

    def __init__(self, path: Path):
        """Remember the file."""
        self.path = path

    def exists(self) -> bool:
        """Return True when there is something to resume from."""
        return self.path.exists()

    def save(self, model: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
        """Write atomically after `step` steps."""
        tensors = {'step': torch.tensor(step)}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                tensors[f'model.{name}'] = parameter.detach().contiguous()
                for key, value in optimiser.state[parameter].items():
                    tensors[f'optimiser.{name}.{key}'] = value.detach().contiguous()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary:
            temporary.write_bytes(safetensors.torch.save(tensors))

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        """Load into `model` and `optimiser`; return the steps done, 0 without a file.

        Raises:
            PackageError: The file is broken or from other settings.
        """
        if not self.exists():
            return 0
        try:
            tensors = safetensors.torch.load_file(self.path)
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.data.copy_(tensors[f'model.{name}'])
                    prefix = f'optimiser.{name}.'
                    optimiser.state[parameter] = {
                        k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)
                    }
        except (OSError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
            raise PackageError(
                self.path,
                f'cannot be resumed ({error})',
                'a checkpoint of these settings; delete it',
            ) from error
        return int(tensors['step'])

    def remove(self) -> None:
        """Delete the file once the run has ended."""
        self.path.unlink(missing_ok=True)

"""From the names in a checkpoint to the names of a timm model.

A checkpoint of a self-supervised method holds the encoder under a prefix of its own, beside
projectors, predictors and a slow copy of the same encoder: `online_network.encoder.`
(BYOL), `module.encoder_q.` (MoCo), `backbone.` (SimCLR, BYOL), `teacher.backbone.` (DINO).
The prefix is found by evidence: the one under which the model's tensors are. Then everything
is strict: what is missing, unexpected or of another shape is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
import re

from roboadapt_ros.backbones.build import Loading
from roboadapt_ros.backbones.tensors import kind
from roboadapt_ros.errors import PackageError, TensorError
from timm.models.resnet import ResNet
import torch
from torch import nn

Tensors = dict[str, torch.Tensor]

CLASSIFIERS = ('fc', 'head', 'head_dist', 'classifier', 'last_linear', 'heads')
"""Parts that a model without classes has not."""
TRAINING_PARTS = re.compile(
    r'(module\.)?(projector|projection|projection_head|predictor|prediction_head|contrastive_head'
    r'|proj|prototypes|queue|queue_ptr|mask_token|decoder\w*|logit_scale|logit_bias)(\.|$)'
)
"""Parts that only training needs."""
SLOW_COPY = re.compile(r'(^|[._])(target|momentum|encoder_k|student)')
"""The copy of an encoder that is not the one to use: of BYOL and MoCo the slow one, of DINO the
fast one."""
AVERAGED = re.compile(r'(^|[._])(ema|teacher)[._]')
"""The copy to use where there is one."""
RESNET_CHILDREN = {'0': 'conv1', '1': 'bn1'} | {str(k + 3): f'layer{k}' for k in range(1, 5)}
"""Numbers of `nn.Sequential(*list(resnet.children()))`; 2 and 3 have no tensors."""


@dataclass(frozen=True)
class Converted:
    """A model's tensors, and how they were found."""

    tensors: Tensors
    prefix: str
    """What the encoder's names began with in the checkpoint."""
    dropped: tuple[str, ...]
    """What was left out: names, or 'part.* (n)' for n tensors of a part."""


def convert(
    path: str, found: Mapping[str, torch.Tensor], model: nn.Module, loading: Loading
) -> Converted:
    """Return exactly the tensors a model needs.

    Args:
        path: File or repository, for messages.
        found: The checkpoint's tensors under flat names.
        model: The timm model without classes; it may be on the meta device.
        loading: How timm loads what was released for it.

    Raises:
        TensorError: A tensor is missing, unexpected, of another shape or type, or not finite.
        PackageError: There are several encoders, and nothing says which one to use.
    """
    required = model.state_dict()
    prefix, tensors = _best(path, found, model, loading)
    counters = {n: torch.zeros((), dtype=t.dtype) for n, t in required.items() if _counts(n)}
    tensors = {**{n: t for n, t in counters.items() if n not in tensors}, **tensors}
    extra = sorted(tensors.keys() - required.keys())
    leftover = [name for name in extra if loading.is_strict and not _is_droppable(name)]
    missing = sorted(required.keys() - tensors.keys())
    kept = {name: _as_type(tensors[name], t) for name, t in required.items() if name in tensors}
    mismatched = [
        f'{name}: found {kind(t)}, required {kind(required[name])}'
        for name, t in kept.items()
        if kind(t) != kind(required[name])
    ]
    mismatched += [f'{n}: found a non-finite value' for n, t in kept.items() if not _finite(t)]
    if missing or leftover or mismatched:
        raise TensorError(path, missing=missing, unexpected=leftover, mismatched=mismatched)
    outside = [name for name in found if not name.startswith(prefix)]
    return Converted(kept, prefix, (*extra, *_parts(outside)))


def _best(
    path: str, found: Mapping[str, torch.Tensor], model: nn.Module, loading: Loading
) -> tuple[str, Tensors]:
    """Return the prefix under which most of what is required is found, and its tensors."""
    names, required = _renaming(model), frozenset(model.state_dict())
    scores = {p: _count(found, p, names, required) for p in _prefixes(found)}
    shallow = [p for p in scores if p.count('.') <= 1]
    full = sorted(scores, key=lambda p: (-scores[p], _rank(p)))
    candidates = dict.fromkeys((*full[:4], *sorted(shallow, key=_rank)[:16]))
    read = {}
    for prefix in candidates:
        part = {n[len(prefix) :]: t for n, t in found.items() if n.startswith(prefix)}
        read[prefix] = _adapted({names(n): t for n, t in part.items()}, model, loading)
    evidence = {p: len(required & tensors.keys()) for p, tensors in read.items()}
    best = min(read, key=lambda p: (-evidence[p], _rank(p)))
    _require_one(path, best, {p: read[p] for p in read if evidence[p] == evidence[best]})
    return best, read[best]


def _require_one(path: str, best: str, read: Mapping[str, Tensors]) -> None:
    """Raise `PackageError` where a checkpoint holds several encoders that nothing tells apart.

    Args:
        path: As `convert`.
        best: The prefix that was chosen.
        read: What there is under it and under others with as much evidence.
    """
    worth = _rank(best)[0]
    others = [p for p in read if _rank(p)[0] == worth and not _contains(p, best)]
    alike = [p for p in others if not _same(read[p], read[best])]
    if alike:
        both = ' and '.join(f"'{prefix}'" for prefix in sorted((best, *alike)))
        raise PackageError(
            Path(path),
            f'holds an encoder under {both}, and their names do not say which one to use',
            'one encoder: save the tensors of one of them, without the other',
        )


def _contains(one: str, other: str) -> bool:
    """Return whether two prefixes are of the same tensors: one begins with the other."""
    return one.startswith(other) or other.startswith(one)


def _same(one: Tensors, other: Tensors) -> bool:
    """Return whether both are the same tensors: a module may be saved under two names."""
    return one.keys() == other.keys() and all(
        one[n].dtype == other[n].dtype and torch.equal(one[n], other[n]) for n in one
    )


def _prefixes(found: Iterable[str]) -> set[str]:
    """Return every dotted beginning of the names, and the empty one."""
    prefixes = {''}
    for name in found:
        parts = name.split('.')
        prefixes |= {'.'.join(parts[:k]) + '.' for k in range(1, min(len(parts), 8))}
    return prefixes


def _count(
    found: Iterable[str], prefix: str, names: Callable[[str], str], required: frozenset[str]
) -> int:
    start = len(prefix)
    return sum(n.startswith(prefix) and names(n[start:]) in required for n in found)


def _rank(prefix: str) -> tuple[int, int, str]:
    """Order prefixes of equal evidence: averaged weights, then plain ones, then slow copies."""
    worth = 0 if AVERAGED.search(prefix) else 2 if SLOW_COPY.search(prefix) else 1
    return worth, len(prefix), prefix


def _renaming(model: nn.Module) -> Callable[[str], str]:
    """Return the change of names a family needs before timm's own."""
    if not isinstance(model, ResNet):
        return lambda name: name

    def by_number(name: str) -> str:
        first, dot, rest = name.partition('.')
        return f'{RESNET_CHILDREN.get(first, first)}{dot}{rest}'

    return by_number


def _adapted(tensors: Tensors, model: nn.Module, loading: Loading) -> Tensors:
    """Apply timm's own conversion for the model: other names, other sizes of position grids."""
    if loading.adapted is None or not tensors:
        return tensors
    try:
        return dict(loading.adapted(dict(tensors), model))
    except (LookupError, RuntimeError, ValueError, AttributeError, TypeError):
        # Not a layout that timm converts: the plain names are held against the model's.
        return tensors


def _counts(name: str) -> bool:
    """Return whether a name is BatchNorm's step counter, which inference does not read."""
    return name.endswith('num_batches_tracked')


def _is_droppable(name: str) -> bool:
    return name.split('.')[0] in CLASSIFIERS or TRAINING_PARTS.match(name) is not None


def _as_type(tensor: torch.Tensor, required: torch.Tensor) -> torch.Tensor:
    """Return a tensor in the model's own floating type; other types are left to be refused."""
    if tensor.is_floating_point() and required.is_floating_point():
        return tensor.to(required.dtype)
    return tensor


def _finite(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _parts(names: Iterable[str]) -> list[str]:
    """Return 'part.* (n)' for names, by their first two components."""
    counts: dict[str, int] = {}
    for name in names:
        part = '.'.join(name.split('.')[:2])
        counts[part] = counts.get(part, 0) + 1
    return [f'{part}.* ({count})' for part, count in sorted(counts.items())]

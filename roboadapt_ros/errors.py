"""The exception tree. Constructors take facts, compose the text and keep the facts.

Every message says what was wrong, what is required, and what is available or how to fix it.
This module imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import difflib
from pathlib import Path


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice most like `name`, or None when nothing is close."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


_MANY = 60
"""More choices than these are not spelt out."""
_NAMED = 12
"""Wrong tensors that are named."""
_LONG = 300
"""Characters of a value after which it is not spelt out: a whole file may be one."""


def _choices_text(name: str, choices: Iterable[str]) -> str:
    """Compose 'Did you mean X? Available: a, b.' for a wrong name."""
    known = sorted(choices)
    guess = nearest(name, known)
    hint = f"Did you mean '{guess}'? " if guess is not None else ''
    if len(known) > _MANY:
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.0)
        return f'{hint}There are {len(known)}; the nearest are {", ".join(near)}.'
    return f'{hint}Available: {", ".join(known) if known else "none"}.'


def _some(names: Sequence[str]) -> str:
    """Return the names, but of many only the first: another model's file has all of them wrong."""
    rest = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
    return ', '.join(names[:_NAMED]) + rest


class RoboAdaptError(Exception):
    """Base of every error this project raises."""


class UnknownNameError(RoboAdaptError):
    """A name that is not among the choices."""

    def __init__(self, kind: str, name: str, choices: Iterable[str]):
        """Store what kind of thing was asked for, by which name, and the choices."""
        self.kind, self.name, self.choices = kind, name, tuple(sorted(choices))
        super().__init__(f"Unknown {kind} '{name}'. {_choices_text(name, self.choices)}")


class ConfigError(RoboAdaptError):
    """A setting that breaks a rule."""

    def __init__(self, field: str, value: object, rule: str):
        """Store the field's path, its value and the rule."""
        self.field, self.value, self.rule = field, value, rule
        shown = repr(value)
        if len(shown) > _LONG:
            shown = f'{shown[:_LONG]}…'
        super().__init__(f'{field} = {shown}: {rule}')


class UnknownKeyError(RoboAdaptError):
    """A key in a file that no field answers to."""

    def __init__(self, source: str, key: str, choices: Iterable[str]):
        """Store the file (or section), the key and the known keys."""
        self.source, self.key, self.choices = source, key, tuple(sorted(choices))
        super().__init__(f"{source}: unknown key '{key}'. {_choices_text(key, self.choices)}")


class SpecError(RoboAdaptError):
    """An array that does not match its named spec (shape, dtype, bounds, finiteness)."""

    def __init__(self, name: str, found: str, required: str):
        """Store the spec's name, what was found and what is required."""
        self.name, self.found, self.required = name, found, required
        super().__init__(f'{name}: found {found}, required {required}')


class ImageError(RoboAdaptError):
    """An image message or file whose bytes do not make the image it claims to be."""

    def __init__(self, name: str, found: str, required: str):
        """Store the camera or file, what was found and what is required."""
        self.name, self.found, self.required = name, found, required
        super().__init__(f"Image '{name}': {found}. Required: {required}")


class StampError(RoboAdaptError):
    """A message stamp that is zero, from the future, repeated or too old."""

    def __init__(self, name: str, found: str, rule: str):
        """Store the stream, what its stamp is and the rule."""
        self.name, self.found, self.rule = name, found, rule
        super().__init__(f"Stamp of '{name}': {found}. Rule: {rule}")


class PackageError(RoboAdaptError):
    """A task or backbone package that can't be read or does not fit."""

    def __init__(self, path: Path | str, problem: str, rule: str):
        """Store the file, what is wrong with it and what is required."""
        self.path, self.problem, self.rule = Path(path), problem, rule
        super().__init__(f'{path}: {problem}. Required: {rule}')


class BackboneMismatchError(PackageError):
    """A task package that was trained over another backbone."""

    def __init__(self, path: Path | str, task: str, found: str, required: str):
        """Store the package, its task and both backbone identities."""
        self.task, self.found, self.required = task, found, required
        super().__init__(
            path,
            f"task '{task}' was trained over backbone {found}",
            f'the running backbone {required}; retrain the task or start that backbone',
        )


class MissingHookError(RoboAdaptError):
    """A timm model whose layout offers no place for adapters."""

    def __init__(
        self,
        model: str,
        model_class: str,
        family: str,
        missing: Sequence[str],
        families: Mapping[str, str],
    ):
        """Store the model, its class, the nearest family and the hooks it lacks for that."""
        self.model, self.model_class, self.family = model, model_class, family
        self.missing = tuple(missing)
        known = ', '.join(f'{name} ({kind})' for name, kind in families.items())
        super().__init__(
            f"timm model '{model}' is a {model_class}; nearest family '{family}', of which it "
            f'lacks the hook {", ".join(self.missing)}. Families: {known}.'
        )


class TensorError(PackageError):
    """Tensors in a weights file that are missing, unexpected or of the wrong shape."""

    def __init__(
        self,
        path: Path | str,
        *,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        mismatched: Sequence[str] = (),
    ):
        """Store the names; each mismatched entry reads 'name: found X, required Y'."""
        self.missing, self.unexpected = tuple(missing), tuple(unexpected)
        self.mismatched = tuple(mismatched)
        parts = [
            f'{title}: {_some(names)}'
            for title, names in (
                ('missing', self.missing),
                ('unexpected', self.unexpected),
                ('mismatched', self.mismatched),
            )
            if names
        ]
        super().__init__(
            path,
            f'tensors do not match the manifest ({"; ".join(parts)})',
            'exact names and shapes',
        )


class BaseChangedError(RoboAdaptError):
    """The backbone's tensors, or its probe features, are not what they were at release."""

    def __init__(self, backbone_id: str, check: str, found: str, required: str):
        """Store the backbone, which check failed, and both values."""
        self.backbone_id, self.check = backbone_id, check
        self.found, self.required = found, required
        super().__init__(
            f"Backbone '{backbone_id}' is not intact: {check} is {found}, required {required}. "
            'Adapters are refused over a changed base; restore its files.'
        )


class EngineError(RoboAdaptError):
    """A serving engine that is not available here, or not exact enough to serve."""

    def __init__(self, engine: str, problem: str, remedy: str):
        """Store the engine, what is wrong with it and what to do."""
        self.engine, self.problem, self.remedy = engine, problem, remedy
        super().__init__(f"Engine '{engine}': {problem}. {remedy}")


class RefusedError(RoboAdaptError):
    """A command or chunk that must not reach the arm.

    `cause` is a short, countable key such as 'stale', 'nan', 'shape', 'unknown_task'.
    """

    def __init__(self, cause: str, detail: str):
        """Store the countable cause and the sentence for a person."""
        self.cause, self.detail = cause, detail
        super().__init__(f'{cause}: {detail}')


class SimError(RoboAdaptError):
    """The simulated rig was asked for something it can't do."""


class HubError(RoboAdaptError):
    """Something on a model hub that can't be had or sent."""

    def __init__(self, name: str, problem: str, remedy: str):
        """Store the repository or address, what happened, and what can be done."""
        self.name, self.problem, self.remedy = name, problem, remedy
        super().__init__(f"Hub '{name}': {problem}. To fix: {remedy}")


class TrainingError(RoboAdaptError):
    """A dataset or training run that can't go on."""


class BringupError(RoboAdaptError):
    """A process of the graph did not start, configure, activate or stay alive."""

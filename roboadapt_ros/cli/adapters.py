"""`roboadapt adapters list|show|verify`: the task packages on disk."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import add_models, models_folder
from roboadapt_ros.cli.output import print_table, say
from roboadapt_ros.errors import RoboAdaptError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from roboadapt_ros.adapters.package import TaskManifest
    from roboadapt_ros.backbones.frozen import FrozenBackbone
    from roboadapt_ros.contract import Contract

OTHERS = 'of other weights'


def _list(options: argparse.Namespace, console: Console) -> int:
    """Print one row per package, unreadable ones included."""
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.adapters.package import load_manifest, WEIGHTS_NAME
    from roboadapt_ros.files import package_file

    library = TaskLibrary(models_folder(options) / 'tasks')
    rows, code = [], 0
    for task in library.names():
        try:
            manifest, digest = load_manifest(library.path(task))
            size = package_file(library.path(task), WEIGHTS_NAME).stat().st_size / 1e6
            measured = _success(manifest)
            rows.append((task, manifest.backbone_id, digest[:12], measured, f'{size:.2f}'))
        except (RoboAdaptError, OSError) as error:
            rows.append((task, '', '', f'unreadable: {error}', ''))
            code = 1
    if not rows:
        say(console, f"No task packages in {library.root}. Make one with 'roboadapt train'.")
        return 1
    print_table(console, ('task', 'backbone', 'digest', 'measured', 'MB'), rows, numbers=1)
    return code


def _success(manifest: TaskManifest) -> str:
    """Return the measured success a package states, and whether of its weights, or '-'."""
    measured = manifest.provenance.get('measured')
    if not isinstance(measured, dict) or not {'successes', 'episodes'} <= measured.keys():
        return '-'
    text = f'{measured["successes"]} of {measured["episodes"]}'
    if 'weights_sha256' not in measured:
        return f'{text} (of unknown weights)'
    return text if measured['weights_sha256'] == manifest.weights_sha256 else f'{text} ({OTHERS})'


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('task', help='task package, as in `roboadapt adapters list`')
    add_models(parser)


def _show(options: argparse.Namespace, console: Console) -> int:
    """Print a package's identity, contract and provenance."""
    from roboadapt_ros.adapters.layout import task_shapes
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.adapters.package import load_manifest

    path = TaskLibrary(models_folder(options) / 'tasks').path(options.task)
    manifest, digest = load_manifest(path)
    shapes = task_shapes(manifest.adapters, manifest.head)
    count = sum(_size(shape) for shape in shapes.values())
    rows: list[tuple[str, object]] = [
        ('task', manifest.package_name),
        ('what it does', manifest.description),
        ('digest', digest),
        ('backbone', f'{manifest.backbone_id} ({manifest.backbone_digest[:12]})'),
        ('parameters', f'{count:,} in {len(shapes)} tensors'),
        ('folder', path),
    ]
    rows += _contract_rows(manifest.contract)
    rows.append(('measured success', _success(manifest)))
    rows += [(f'provenance: {key}', value) for key, value in manifest.provenance.items()]
    print_table(console, ('', ''), rows)
    return 0


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _contract_rows(contract: Contract) -> list[tuple[str, object]]:
    cameras = ', '.join(f'{c.name} {c.width}x{c.height}' for c in contract.cameras)
    fields = ', '.join(f'{f.value} [{f.unit}]' for f in contract.proprioception)
    return [
        ('robot', contract.robot),
        ('cameras', cameras),
        ('proprioception', fields),
        ('actions', f'{contract.action_space.value}, {contract.reference.value} reference'),
        ('rotation', contract.rotation.value),
        ('gripper', contract.gripper.value),
        (
            'chunk',
            f'{contract.chunk_length} rows at {contract.rate_hz:g} Hz, '
            f'{contract.execute_length} executed before the next',
        ),
        ('oldest observation', f'{contract.max_observation_age_s:g} s'),
    ]


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('task', nargs='?', help='task package (default: all)')
    add_models(parser)


def _verify(options: argparse.Namespace, console: Console) -> int:
    """Check every tensor of the packages, the backbone under them, and that they fit it."""
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.adapters.package import load_package
    from roboadapt_ros.backbones.check import INTACT
    from roboadapt_ros.encoder.fit import require_over

    models = models_folder(options)
    library = TaskLibrary(models / 'tasks')
    names = (options.task,) if options.task else library.names()
    bases: dict[str, FrozenBackbone | RoboAdaptError] = {}
    failures = 0
    for task in names:
        path = library.path(task)
        try:
            package = load_package(path)
            backbone_id = package.manifest.backbone_id
            if backbone_id not in bases:
                bases[backbone_id] = _verified(models, backbone_id)
            base = bases[backbone_id]
            if isinstance(base, RoboAdaptError):
                raise base
            require_over(package, base)
        except RoboAdaptError as error:
            failures += 1
            say(console, f'{task}: not intact. {error}')
        else:
            say(
                console,
                f'{task}: intact ({package.digest[:12]}), over {backbone_id}: {INTACT}',
            )
    if not names:
        say(console, f'No task packages in {library.root}.')
    return 1 if failures or not names else 0


def _verified(models: Path, backbone_id: str) -> FrozenBackbone | RoboAdaptError:
    """Return the sizes of a backbone that is intact, without its weights, or what is wrong."""
    from roboadapt_ros.backbones.frozen import FrozenBackbone
    from roboadapt_ros.backbones.manifest import backbone_path

    try:
        path = backbone_path(models, backbone_id)
        backbone = FrozenBackbone.load(path)
        backbone.check(path).require()
        return FrozenBackbone.hollow(backbone.manifest)
    except RoboAdaptError as error:
        return error


list_command = Command(arguments=add_models, run=_list)
show_command = Command(arguments=_add_task, run=_show)
verify_command = Command(arguments=_add_tasks, run=_verify)

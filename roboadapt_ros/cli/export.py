"""`roboadapt export`: backbones as graphs for ONNX Runtime, measured against torch."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command, printable
from roboadapt_ros.cli.options import add_models, models_folder
from roboadapt_ros.cli.output import print_table, progress_line, require_folder, say
from roboadapt_ros.errors import ConfigError, EngineError, RoboAdaptError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from roboadapt_ros.adapters.package import TaskPackage
    from roboadapt_ros.backbones.frozen import FrozenBackbone
    from roboadapt_ros.encoder.engine import Images
    from roboadapt_ros.encoder.graphs import GraphRecord
    from roboadapt_ros.encoder.places import Places

    _Hollow = Callable[[str], FrozenBackbone]

MOST_PICTURES = 8
"""That ranges of 8 bits are taken from, each in four forms."""
COLUMNS = ('backbone', 'graph', 'MB', 'largest error', 'L2 error', 'ms', 'torch ms')


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--backbone', metavar='ID', help='backbone to export (default: all that are there)'
    )
    parser.add_argument(
        '--task',
        action='append',
        default=[],
        metavar='TASK',
        help='task package to export for; may be repeated (default: all over the backbone)',
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help="also with the backbone's matrices in 8 bits, and how far off the features are",
    )
    parser.add_argument(
        '--threads', type=int, default=1, metavar='N', help='threads of the timing (default: 1)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help="folder to write to, with <task>.onnx_adapter files for ONNX Runtime's adapter "
        "loading (default: where the encoder looks, the backbone's folder)",
    )
    add_models(parser)


def _run(options: argparse.Namespace, console: Console) -> int:
    """Export, and print a row per graph; 1 where a task or a backbone was left out."""
    from roboadapt_ros.backbones.manifest import backbone_names

    models = models_folder(options)
    known = backbone_names(models)
    if options.backbone is not None and options.backbone not in known:
        raise UnknownNameError('backbone', options.backbone, known)
    if options.threads < 1:
        raise ConfigError('--threads', options.threads, 'must be at least 1')
    if options.out is not None:
        require_folder(options.out)
    backbones = [options.backbone] if options.backbone else list(known)
    broken: dict[str, RoboAdaptError] = {}
    hollow = cache(partial(_hollow, models))
    if options.task:
        packages = [_named(models, task, options.backbone, hollow) for task in options.task]
        backbones = sorted({package.manifest.backbone_id for package in packages})
    else:
        packages, broken = _all_over(models, backbones, hollow)
    exported: list[tuple[GraphRecord, tuple[str, ...]]] = []
    with progress_line(console) as progress:
        for number, name in enumerate(backbones):
            progress(number, len(backbones), f'exporting {name}')
            over = [p for p in packages if p.manifest.backbone_id == name]
            try:
                for made in _export(models, name, over, options, broken):
                    exported.append(made)
            except RoboAdaptError as error:
                if len(backbones) == 1 and not exported:
                    raise
                broken[name] = error
    for name, error in broken.items():
        print(printable(f'{name}: left out. {error}'), file=sys.stderr)
    if not backbones:
        say(console, f'No backbones in {models}.')
        return 1
    if not exported:
        return 1
    print_table(console, COLUMNS, [row for _, row in exported], numbers=5)
    for record, _ in exported:
        if record.int8:
            say(console, f'{record.backbone_id}, {record.name}: {_measured_on(record)}.')
    if options.out is None:
        for name in dict.fromkeys(record.backbone_id for record, _ in exported):
            _say_where(console, models, name)
    say(
        console,
        f"Errors are relative to torch's features; times are of one image on "
        f'{options.threads} threads.',
    )
    return 1 if broken else 0


def _say_where(console: Console, models: Path, name: str) -> None:
    """Say where graphs are that did not go to the backbone's folder."""
    from roboadapt_ros.backbones.manifest import backbone_path, load_backbone_manifest
    from roboadapt_ros.encoder.graphs import GraphStore

    path = backbone_path(models, name)
    folder = GraphStore(path, load_backbone_manifest(path)).writable
    if not folder.is_relative_to(path):
        say(console, f'{path} can not be written; the graphs are in {folder}.')


def _named(models: Path, task: str, backbone: str | None, hollow: _Hollow) -> TaskPackage:
    """Return a package that was asked for, read and checked."""
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.adapters.package import load_manifest

    path = TaskLibrary(models / 'tasks').path(task)
    found = load_manifest(path)[0].backbone_id
    if backbone not in (None, found):
        raise ConfigError('--task', task, f'was trained over backbone {found}')
    return _load(path, hollow(found))


def _all_over(
    models: Path, backbones: list[str], hollow: _Hollow
) -> tuple[list[TaskPackage], dict[str, RoboAdaptError]]:
    """Return the packages over some backbones, and what is wrong with others, by name."""
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.adapters.package import load_manifest

    library = TaskLibrary(models / 'tasks')
    packages, broken = [], {}
    for task in library.names():
        path = library.path(task)
        try:
            backbone = load_manifest(path)[0].backbone_id
            if backbone in backbones:  # of others the manifest alone is read
                packages.append(_load(path, hollow(backbone)))
        except RoboAdaptError as error:
            broken[task] = error
    return packages, broken


def _load(path: Path, backbone: FrozenBackbone) -> TaskPackage:
    """Return a package that can be served over a backbone."""
    from roboadapt_ros.adapters.package import load_package
    from roboadapt_ros.encoder.fit import require_over

    package = load_package(path)
    require_over(package, backbone)
    return package


def _hollow(models: Path, name: str) -> FrozenBackbone:
    """Return a backbone without its weights."""
    from roboadapt_ros.backbones.frozen import FrozenBackbone
    from roboadapt_ros.backbones.manifest import backbone_path, load_backbone_manifest

    return FrozenBackbone.hollow(load_backbone_manifest(backbone_path(models, name)))


def _export(
    models: Path,
    name: str,
    packages: list[TaskPackage],
    options: argparse.Namespace,
    broken: dict[str, RoboAdaptError],
) -> Iterator[tuple[GraphRecord, tuple[str, ...]]]:
    """Export one backbone for its tasks; give each graph's record and row of the table.

    What can't be had in 8 bits is put into `broken`, and costs no other graph.
    """
    from roboadapt_ros.backbones.manifest import backbone_path
    from roboadapt_ros.encoder.examples import TaskTensors
    from roboadapt_ros.encoder.export import (
        export_blocked,
        export_graph,
        export_int8,
        usual_places,
    )
    from roboadapt_ros.encoder.graphs import graph_name, GraphStore
    from roboadapt_ros.encoder.places import Places
    from roboadapt_ros.encoder.race import compare
    from roboadapt_ros.encoder.torch_engine import TorchEngine

    path = backbone_path(models, name)
    engine = TorchEngine(path, threads=options.threads)
    if options.out is None:
        place = GraphStore(path, engine.manifest).exporting()
    else:
        place = nullcontext(_folder(options.out / name))
    wanted = dict.fromkeys(usual_places(engine.backbone))
    wanted |= dict.fromkeys(Places.of(package.manifest.adapters) for package in packages)
    tasks = {p.task: TaskTensors(p.manifest.adapters, p.part('adapters')) for p in packages}
    with place as folder:
        for places in wanted:
            over = {n: t for n, t in tasks.items() if Places.of(t.layout) == places}
            blocked = export_blocked(path, engine, places, folder)
            records = [export_graph(path, engine, places, folder)]
            records += [blocked] if blocked else []
            if options.int8:
                seen = _pictures(packages, places, engine.manifest.image_size)
                try:
                    records.append(export_int8(path, engine, places, folder, over, seen))
                except EngineError as error:
                    broken[f'{name}, {graph_name(places, int8=True)}'] = error
            for record in records:
                file, block = folder / f'{record.name}.onnx', record.block
                content = file.read_bytes()
                times = compare(engine, places, content, options.threads, block=block)
                yield record, _row(record, file, times)
        if options.out is not None:
            for package in packages:
                _write_adapters(package, folder, is_maps=engine.backbone.chain.is_convolutional)


def _pictures(packages: list[TaskPackage], places: Places, size: int) -> Images | None:
    """Return what the tasks with adapters at `places` were learned on, of `size` pixels.

    The bare backbone is shown the pictures of all tasks.
    """
    import numpy as np
    from roboadapt_ros.adapters.pictures import read_pictures
    from roboadapt_ros.encoder.places import BARE, Places

    by_task = [
        [
            picture
            for picture in read_pictures(package.path, package.contract).values()
            if picture.shape == (size, size, 3)
        ]
        for package in packages
        if places == BARE or Places.of(package.manifest.adapters) == places
    ]
    # A camera of each task before the next one of any: where there are many, all have their say.
    cameras = zip_longest(*by_task)
    found = [picture for camera in cameras for picture in camera if picture is not None]
    return np.stack(found[:MOST_PICTURES]) if found else None


def _folder(path: Path) -> Path:
    """Make a folder, or raise `ConfigError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError('--out', str(path), f'cannot be made ({error.strerror})') from error
    return path


def _row(record: GraphRecord, file: Path, times: tuple[float, float]) -> tuple[str, ...]:
    return (
        record.backbone_id,
        file.stem,
        f'{file.stat().st_size / 1e6:.1f}',
        f'{record.largest_error:.1e}',
        f'{record.feature_error:.1e}',
        *(f'{value:.1f}' for value in times),
    )


def _measured_on(record: GraphRecord) -> str:
    """Return what the error of a graph in 8 bits was measured on."""
    if not record.places.positions:
        return 'its error is that of the bare backbone'
    tasks = ', '.join(sorted(record.tasks))
    return f'its error is that of {tasks or "random adapters, for no task has these places"}'


def _write_adapters(package: TaskPackage, folder: Path, *, is_maps: bool) -> None:
    """Write a task's adapters as ONNX Runtime's own adapter file."""
    from roboadapt_ros.encoder.places import graph_arrays
    from roboadapt_ros.encoder.session import write_adapters

    tensors = package.part('adapters')
    arrays = graph_arrays(package.manifest.adapters, tensors, maps=is_maps)
    write_adapters(folder / f'{package.task}.onnx_adapter', arrays)


command = Command(arguments=_arguments, run=_run)

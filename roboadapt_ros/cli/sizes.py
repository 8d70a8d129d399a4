"""`roboadapt adapters sizes`: parameters of one task's adapters, by backbone and placement."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import add_models, models_folder
from roboadapt_ros.cli.output import print_table, say

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.adapters.placement import Placement
    from roboadapt_ros.backbones.manifest import BackboneManifest

TIMM_NAMES = ('vit_small_patch16_224', 'vit_base_patch16_224', 'resnet50', 'dm_nfnet_f0')
PARTS = {'bottom': ('bottom',), 'middle': ('middle',), 'top': ('top',)} | {
    'bottom + middle + top': ('bottom', 'middle', 'top')
}
TITLES = ('backbone', 'values', 'placement', 'adapter values', 'share')


def _arguments(parser: argparse.ArgumentParser) -> None:
    from roboadapt_ros.adapters.placement import Placement
    from roboadapt_ros.cli.options import add_options

    parser.add_argument(
        '--backbone',
        nargs='+',
        metavar='NAME',
        help='ids as in `roboadapt backbones list`, or timm names (default: every id, then '
        f'{" ".join(TIMM_NAMES)})',
    )
    parser.add_argument('--markdown', action='store_true', help='print a Markdown table')
    add_models(parser)
    add_options(parser, Placement)


def _run(options: argparse.Namespace, console: Console) -> int:
    """Print a row per backbone and placement; nothing is downloaded or computed."""
    from roboadapt_ros.adapters.placement import Placement
    from roboadapt_ros.backbones.manifest import backbone_names
    from roboadapt_ros.cli.options import from_options

    placement = from_options(Placement, options)
    models = models_folder(options)
    names = options.backbone or (*backbone_names(models), *TIMM_NAMES)
    rows = [row for name in names for row in _rows(_manifest(name, models), placement)]
    if options.markdown:
        for row in (TITLES, ('---', '---:', '---', '---:', '---:'), *rows):
            say(console, f'| {" | ".join(row)} |')
    else:
        print_table(console, TITLES, rows, numbers=2)
    return 0


def _manifest(name: str, models: Path) -> BackboneManifest:
    """Return a package's manifest, or the one that a timm name would get."""
    from roboadapt_ros.backbones.manifest import backbone_names, load_backbone_manifest
    from roboadapt_ros.backbones.pretrained import plan, Request

    if name in backbone_names(models):
        return load_backbone_manifest(models / 'backbones' / name)
    return plan(Request(timm_name=name, random=True))


def _rows(manifest: BackboneManifest, placement: Placement) -> Iterator[tuple[str, ...]]:
    from roboadapt_ros.backbones.frozen import FrozenBackbone

    backbone = FrozenBackbone.hollow(manifest)
    base = backbone.parameter_count
    for title, parts in PARTS.items():
        absent = {part: 0 for part in ('bottom', 'middle', 'top') if part not in parts}
        count = replace(placement, **absent).layout(backbone).parameter_count
        share = f'{100 * count / base:.2f} %'
        yield (manifest.id, f'{base:,}', title, f'{count:,}', share)


command = Command(arguments=_arguments, run=_run)

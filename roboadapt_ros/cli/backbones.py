"""`roboadapt backbones list|add|verify`: the frozen backbones on disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import add_models, models_folder
from roboadapt_ros.cli.output import print_table, require_folder, say
from roboadapt_ros.errors import RoboAdaptError

if TYPE_CHECKING:
    from rich.console import Console

TITLES = ('id', 'timm name', 'family', 'licence', 'digest', 'features', 'MB')


def _list(options: argparse.Namespace, console: Console) -> int:
    """Print one row per backbone, unreadable ones included."""
    from roboadapt_ros.backbones.manifest import backbone_names

    models = models_folder(options)
    rows, code = [], 0
    for name in backbone_names(models):
        try:
            rows.append(_row(models / 'backbones' / name))
        except (RoboAdaptError, OSError) as error:
            rows.append((name, f'unreadable: {error}', *([''] * (len(TITLES) - 2))))
            code = 1
    if not rows:
        say(console, f"No backbones in {models / 'backbones'}; see 'roboadapt backbones add'.")
        return 1
    print_table(console, TITLES, rows, numbers=2)
    return code


def _row(path: Path) -> tuple[object, ...]:
    from roboadapt_ros.backbones.frozen import FrozenBackbone
    from roboadapt_ros.backbones.manifest import load_backbone_manifest, WEIGHTS_NAME
    from roboadapt_ros.files import package_file

    manifest = load_backbone_manifest(path)
    hollow = FrozenBackbone.hollow(manifest)
    size = package_file(path, WEIGHTS_NAME).stat().st_size / 1e6
    return (
        manifest.id,
        manifest.timm_name,
        hollow.chain.family,
        manifest.licence,
        manifest.digest[:12],
        hollow.features_per_camera,
        f'{size:.1f}',
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'Weights come from the hub cache (HF_HOME), from the network where they are not in it '
        'and HF_HUB_OFFLINE is not set, or from --file. Ids and tags are those of timm: '
        'vit_base_patch16_224.mae, vit_base_patch16_clip_224.openai, resnet50.a1_in1k, '
        'dm_nfnet_f0.dm_in1k.'
    )
    parser.add_argument('timm_name', metavar='TIMM_NAME', help='timm model, with a tag or without')
    parser.add_argument('--id', metavar='ID', help='name of the package (default: the timm name)')
    parser.add_argument(
        '--file',
        type=Path,
        metavar='PATH',
        help='local checkpoint: .safetensors, or a torch file of tensors (.pt .pth .bin .tar '
        '.ckpt); BYOL, MoCo, SimCLR and DINO names are converted',
    )
    parser.add_argument(
        '--image-size', type=int, metavar='N', help="side of the input [px] (default: timm's)"
    )
    parser.add_argument(
        '--pooled-channels',
        type=int,
        metavar='N',
        help='channels each position is pooled to (default: nearest to 2048 features a camera)',
    )
    parser.add_argument(
        '--licence', metavar='TEXT', help="licence of the weights (default: timm's record)"
    )
    parser.add_argument(
        '--random',
        action='store_true',
        help='random weights, for tests and benchmarks; recorded as such',
    )
    parser.add_argument(
        '--force', action='store_true', help='replace a package of this id; its tasks then refuse'
    )
    add_models(parser, may_be_new=True)


def _add(options: argparse.Namespace, console: Console) -> int:
    """Freeze a model into a package and say what it is."""
    from roboadapt_ros.backbones.manifest import load_backbone_manifest
    from roboadapt_ros.backbones.pretrained import add_backbone, Request

    request = Request(
        timm_name=options.timm_name,
        id=options.id,
        file=options.file,
        random=options.random,
        image_size=options.image_size,
        pooled_channels=options.pooled_channels,
        licence=options.licence,
    )

    require_folder(models_folder(options) / 'backbones', option='--models')

    def tell(text: str) -> None:
        say(console, text)

    path = add_backbone(models_folder(options), request, tell, force=options.force)
    manifest = load_backbone_manifest(path)
    say(
        console,
        f'Wrote {path}: {manifest.image_size} px, {manifest.interpolation}, '
        f'licence {manifest.licence}, digest {manifest.digest[:12]}',
    )
    return 0


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('id', nargs='?', help='backbone (default: all)')
    add_models(parser)


def _verify(options: argparse.Namespace, console: Console) -> int:
    """Hash each backbone's tensors and run its probe."""
    from roboadapt_ros.backbones.check import INTACT
    from roboadapt_ros.backbones.frozen import FrozenBackbone
    from roboadapt_ros.backbones.manifest import backbone_names, backbone_path

    models = models_folder(options)
    names = (options.id,) if options.id else backbone_names(models)
    failures = 0
    for name in names:
        path = backbone_path(models, name)
        try:
            backbone = FrozenBackbone.load(path)
            backbone.check(path).require()
        except RoboAdaptError as error:
            failures += 1
            say(console, f'{name}: not intact. {error}')
        else:
            say(
                console,
                f'{name}: intact ({backbone.manifest.digest[:12]}): {INTACT}',
            )
    if not names:
        say(console, f'No backbones in {models / "backbones"}.')
    return 1 if failures or not names else 0


list_command = Command(arguments=add_models, run=_list)
add_command = Command(arguments=_add_options, run=_add)
verify_command = Command(arguments=_add_names, run=_verify)

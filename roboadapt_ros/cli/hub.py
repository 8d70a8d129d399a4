"""`roboadapt adapters push|pull`: task packages to and from a model hub."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import add_models, models_folder
from roboadapt_ros.cli.output import require_folder, say

if TYPE_CHECKING:
    from rich.console import Console


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--endpoint', metavar='URL', help="the hub's address (default: HF_ENDPOINT, or its own)"
    )


def _push_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Log in once with 'hf auth login', or set HF_TOKEN."
    parser.add_argument('task', help='task package, as in `roboadapt adapters list`')
    parser.add_argument('repository', metavar='REPO', help="'owner/name' on the hub")
    parser.add_argument(
        '--public', action='store_true', help='a repository made now can be seen by everyone'
    )
    _add_endpoint(parser)
    add_models(parser)


def _push(options: argparse.Namespace, console: Console) -> int:
    """Check a package and send it."""
    from roboadapt_ros.adapters.hub import push
    from roboadapt_ros.adapters.library import TaskLibrary

    path = TaskLibrary(models_folder(options) / 'tasks').path(options.task)
    say(console, f'sending {path} to {options.repository}')
    url = push(path, options.repository, private=not options.public, endpoint=options.endpoint)
    say(console, f'Pushed {options.task}: {url}')
    return 0


def _pull_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('repository', metavar='REPO', help="'owner/name' on the hub")
    parser.add_argument('--revision', metavar='REV', help='branch, tag or commit (default: main)')
    parser.add_argument(
        '--force', action='store_true', help='replace another package of the same name'
    )
    _add_endpoint(parser)
    add_models(parser, may_be_new=True)


def _pull(options: argparse.Namespace, console: Console) -> int:
    """Fetch a package, check it, and say which backbone it needs."""
    from roboadapt_ros.adapters.hub import pull
    from roboadapt_ros.backbones.manifest import backbone_names

    models = models_folder(options)
    require_folder(models / 'tasks', option='--models')
    say(console, f'fetching {options.repository}')
    package = pull(
        options.repository,
        models / 'tasks',
        revision=options.revision,
        force=options.force,
        endpoint=options.endpoint,
    )
    say(console, f'Pulled {package.task} ({package.digest[:12]}) into {package.path}')
    backbone = package.manifest.backbone_id
    if backbone not in backbone_names(models):
        say(
            console,
            f"Its backbone '{backbone}' is not here yet: see 'roboadapt backbones add --help'.",
        )
    return 0


push_command = Command(arguments=_push_arguments, run=_push)
pull_command = Command(arguments=_pull_arguments, run=_pull)

"""Task packages on a model hub: one repository per package.

A repository holds the package's own files and a README.md, which is the card under the hub's
metadata. What comes from a repository is data to be checked: only files of known names are
fetched, into a folder aside, and a package is moved into place when it has loaded strictly.
"""

from __future__ import annotations

from pathlib import Path
import re
import shutil
import tempfile

from huggingface_hub import hf_hub_download, HfApi
from roboadapt_ros.adapters.package import (
    load_package,
    MANIFEST_NAME,
    MAX_WEIGHTS_BYTES,
    TaskManifest,
    TaskPackage,
    WEIGHTS_NAME,
)
from roboadapt_ros.backbones.hub import hub_faults
from roboadapt_ros.config import load_json
from roboadapt_ros.errors import PackageError, RoboAdaptError
from roboadapt_ros.files import package_file, replace_folder
import yaml

CARD_NAME = 'card.md'
README_NAME = 'README.md'
LICENCE = 'apache-2.0'
TAGS = ('robotics', 'adapters', 'roboadapt')
MAX_FILE_BYTES = 8 * 1024 * 1024
"""Largest file beside the weights."""
_PICTURE = re.compile(r'reference_[a-z0-9][a-z0-9_-]{0,63}\.png')


def is_package_file(name: str) -> bool:
    """Return whether a package may have a file of that name; paths are no names."""
    return name in (MANIFEST_NAME, WEIGHTS_NAME, CARD_NAME) or bool(_PICTURE.fullmatch(name))


def readme(package: TaskPackage, card: str) -> str:
    """Return the card under the metadata a hub reads."""
    manifest = package.manifest
    metadata = {
        'license': LICENCE,
        'library_name': 'roboadapt_ros',
        'pipeline_tag': 'robotics',
        'tags': [*TAGS, f'backbone:{manifest.backbone_id}', f'robot:{package.contract.robot}'],
        'base_model': manifest.backbone_id,
        'roboadapt': {'task': package.task, 'digest': package.digest},
    }
    return f'---\n{yaml.safe_dump(metadata, sort_keys=False)}---\n\n{card}'


def stage(path: Path, folder: Path) -> TaskPackage:
    """Lay out what a repository holds.

    Args:
        path: A task package; it is checked first.
        folder: Folder to fill.

    Returns:
        The package.

    Raises:
        PackageError: A file is a link out of the package, or the card is not text.
        RoboAdaptError: As `load_package`.
    """
    package = load_package(path)
    for file in sorted(path.iterdir()):
        if is_package_file(file.name):
            shutil.copyfile(package_file(path, file.name), folder / file.name)
    card = folder / CARD_NAME
    try:
        text = card.read_text(encoding='utf-8') if card.exists() else f'# {package.task}\n'
    except UnicodeDecodeError as error:
        raise PackageError(path / CARD_NAME, f'is not text ({error})', 'UTF-8') from error
    (folder / README_NAME).write_text(readme(package, text), encoding='utf-8')
    return package


def push(path: Path, repository: str, *, private: bool = True, endpoint: str | None = None) -> str:
    """Send a package to a repository, which is made where there is none.

    Args:
        path: A task package.
        repository: 'owner/name'.
        private: Visibility of a repository made here.
        endpoint: The hub's address; default: that of the environment.

    Returns:
        The commit's address.

    Raises:
        HubError: The hub refused or can't be reached.
        RoboAdaptError: As `stage`.
    """
    api = HfApi(endpoint=endpoint)
    with tempfile.TemporaryDirectory() as name:
        package = stage(path, Path(name))
        remedy = "log in with 'hf auth login' or set HF_TOKEN, and try again"
        with hub_faults(repository, endpoint, remedy):
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=name,
                commit_message=f'{package.task} {package.digest[:12]}',
            )
    return str(commit.commit_url)


def pull(
    repository: str,
    tasks: Path,
    *,
    revision: str | None = None,
    force: bool = False,
    endpoint: str | None = None,
) -> TaskPackage:
    """Fetch a package and put it among the tasks when it is whole.

    Args:
        repository: 'owner/name'.
        tasks: Folder of task packages.
        revision: Branch, tag or commit.
        force: Replace another package of the same name.
        endpoint: The hub's address; default: that of the environment.

    Returns:
        The package, in its place.

    Raises:
        HubError: The hub refused or can't be reached.
        RoboAdaptError: As `install`.
        OSError: The package can't be written here.
    """
    tasks.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tasks, prefix='.pull-') as name:
        # A folder of its own, for `install` renames what is in it to the name of the task.
        folder = Path(name, 'made', 'package')
        folder.mkdir(parents=True)
        fetched = {}
        with hub_faults(repository, endpoint, 'check the name, the revision and the network'):
            info = HfApi(endpoint=endpoint).model_info(
                repository, revision=revision, files_metadata=True
            )
            for file in info.siblings or ():
                if is_package_file(file.rfilename):
                    _check_size(repository, file.rfilename, file.size)
                    fetched[file.rfilename] = hf_hub_download(
                        repository,
                        file.rfilename,
                        revision=info.sha,
                        local_dir=Path(name, 'fetched'),
                        endpoint=endpoint,
                    )
        for file_name, path in fetched.items():
            shutil.copyfile(path, folder / file_name)
        return install(folder, tasks, force=force)


def install(folder: Path, tasks: Path, *, force: bool = False) -> TaskPackage:
    """Check a package in a folder of any name and move it to its place among the tasks.

    Args:
        folder: Folder of a package, on the same file system; gone afterwards.
        tasks: Folder of task packages.
        force: Replace another package of the same name.

    Returns:
        The package, in its place.

    Raises:
        PackageError: Another package of that name is there.
        RoboAdaptError: As `load_package`; then nothing was changed.
    """
    name = load_json(TaskManifest, folder / MANIFEST_NAME).package_name
    checked = folder.with_name(name)
    if checked != folder:
        folder.replace(checked)
    package = load_package(checked)
    target = tasks / name
    if target.exists() and not force and _digest(target) != package.digest:
        raise PackageError(target, 'is another package of that name', '--force, to replace it')
    replace_folder(checked, target)
    return load_package(target)


def _digest(path: Path) -> str | None:
    """Return the digest of a package that is there, or None where it is not whole."""
    try:
        return load_package(path).digest
    except RoboAdaptError:
        return None


def _check_size(repository: str, name: str, size: int | None) -> None:
    limit = MAX_WEIGHTS_BYTES if name == WEIGHTS_NAME else MAX_FILE_BYTES
    if size is not None and size > limit:
        raise PackageError(f'{repository}/{name}', f'has {size} bytes', f'at most {limit}')

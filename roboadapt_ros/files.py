"""Files and folders: read within bounds, inside of a package, and replaced whole or not at all.

Imports the standard library and `errors` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import os
from pathlib import Path
import shutil
import stat
import tempfile

from roboadapt_ros.errors import PackageError


def package_file(folder: Path, name: str) -> Path:
    """Return the path of a file that belongs to a package's folder.

    A link is followed only to a file of the same name in a folder of the same name, which is
    what an install by links makes.

    Raises:
        PackageError: It is missing, not a regular file, or a link that leaves the package.
    """
    file = folder / name
    try:
        target = file.resolve(strict=True)
        is_regular = stat.S_ISREG(target.stat().st_mode)
        home = folder.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, 'strerror', None) or str(error)
        raise PackageError(file, f'cannot be read ({reason})', 'a readable file') from error
    if not is_regular:
        raise PackageError(file, 'is not a regular file', 'a readable file')
    if target.name != name or (target.parent != home and target.parent.name != folder.name):
        raise PackageError(file, f'is a link out of the package ({target})', 'a file inside it')
    return file


def require_free(folder: Path, choices: str, *, force: bool) -> None:
    """Raise where a package would be replaced that nobody has said to replace.

    Args:
        folder: The package's folder.
        choices: Where else it could be written, for the message.
        force: Whether it may be replaced.

    Raises:
        PackageError: The folder is there, and `force` was not given.
    """
    if folder.exists() and not force:
        raise PackageError(folder, 'exists', f'{choices}, or --force to replace it')


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a file.

    Raises:
        PackageError: It is missing, unreadable or larger than `max_bytes`.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise PackageError(path, f'has {size} bytes', f'at most {max_bytes}')
        return path.read_bytes()
    except OSError as error:
        raise PackageError(
            path, f'cannot be read ({error.strerror})', 'a readable file'
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write beside `path`, which it replaces when the block has ended well.

    An `OSError` that does not say of which file it is (a full disk) is of `path`.
    """
    temporary = path.with_name(path.name + '.part')
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename) in ('None', str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def folder_aside(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target`, which it replaces when the block has ended well.

    Each process has its own; of one that was killed it stays, hidden.

    Raises:
        OSError: It can't be made or moved; what was there stands.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f'.{target.name}.', suffix='.part', dir=target.parent))
    try:
        made.chmod(0o777 & ~_umask())
        yield made
        replace_folder(made, target)
    finally:
        _remove(made)


def _umask() -> int:
    """Return what new files may not be; there is no other way to ask."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def replace_folder(made: Path, target: Path) -> None:
    """Move a folder to its place; what was there is gone only once the new one stands.

    Args:
        made: On the same file system; gone afterwards.
        target: Where it belongs.

    Raises:
        OSError: It can't be moved; what was there is back.
    """
    aside = target.with_name(f'.{target.name}.old')
    if aside.exists() and not target.exists():
        aside.replace(target)  # an earlier replacement was cut off between its two moves
    _remove(aside)
    had_one = target.exists()
    if had_one:
        target.replace(aside)
    try:
        made.replace(target)
    except BaseException:  # an interrupt, too
        if had_one and not target.exists():
            aside.replace(target)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    """Remove a folder, or a link to one, as far as that is possible."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)

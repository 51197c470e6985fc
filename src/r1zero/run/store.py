"""Atomic, checksummed folders.

A folder is filled under a temporary name, its files are synced, a manifest with sizes and SHA-256 is written, and one
rename publishes it. What a kill leaves behind is either the complete folder or a temporary that nobody reads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from r1zero.base.files import sha256, sync

_MANIFEST = "manifest.json"
_TEMPORARY = ".tmp-"


class Damaged(Exception):
    """A published folder whose files are not what its manifest says."""


def publish(target: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write files into a new folder and publish it as `target`. A damaged folder of that name makes way; an
    intact one is left alone, because what it holds is what would be written."""
    if target.exists():
        try:
            return verify(target)
        except Damaged:
            shutil.rmtree(target)
    temporary = target.with_name(f"{_TEMPORARY}{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _write(temporary, fill)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    temporary.rename(target)
    sync(target.parent)


def _write(temporary: Path, fill: Callable[[Path], None]) -> None:
    """Everything that a published folder holds, on the disk."""
    temporary.mkdir(parents=True)
    fill(temporary)
    files = [file for file in sorted(temporary.rglob("*")) if file.is_file()]
    manifest = {
        str(file.relative_to(temporary)): {"size": file.stat().st_size, "sha256": sha256(file)} for file in files
    }
    (temporary / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    folders = [folder for folder in temporary.rglob("*") if folder.is_dir()]
    for place in [*files, temporary / _MANIFEST, *folders, temporary]:
        sync(place)


def verify(folder: Path) -> None:
    """Raises Damaged, naming the first file that is missing, differs from the manifest, or is not in it."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        expected = {name: (entry["size"], entry["sha256"]) for name, entry in manifest.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{folder}: the manifest cannot be read: {error}") from None
    if not expected:
        raise Damaged(f"{folder}: the manifest names no file")
    for file in sorted(folder.rglob("*")):
        if (name := str(file.relative_to(folder))) not in expected and name != _MANIFEST and _is_file(file):
            raise Damaged(f"{folder}: {name} is not in the manifest; whoever put it there has to take it away")
    for name, (size, digest) in expected.items():
        file = folder / name
        if not file.is_file():
            raise Damaged(f"{folder}: {name} is missing")
        if file.stat().st_size != size:
            raise Damaged(f"{folder}: {name} has {file.stat().st_size} bytes, expected {size}")
        if sha256(file) != digest:
            raise Damaged(f"{folder}: {name} has changed: its SHA-256 differs from the manifest's")


def _is_file(path: Path) -> bool:
    """Anything but a folder: a link may lead anywhere."""
    return path.is_symlink() or not path.is_dir()


def published(root: Path) -> list[Path]:
    """Published folders by name, oldest first."""
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(_TEMPORARY))


def newest_intact(root: Path, on_damage: Callable[[str], None]) -> Path | None:
    """The newest folder that verifies, None if there is none; every damaged one passed over is reported."""
    for folder in reversed(published(root)):
        try:
            verify(folder)
        except Damaged as damage:
            on_damage(str(damage))
            continue
        return folder
    return None


def prune(root: Path, newest: Path, keep: int, known: Collection[Path] = ()) -> None:
    """Delete folders, but never `newest`, the one just published, nor the newest `keep` - 1 intact ones before it; and
    temporaries that a kill left.

    Damaged ones count for nothing; those later than `newest` stay for people to look at. `known` need not be verified
    again. One rename takes a folder back before its files go, so a kill cannot leave a published folder with half its
    files.
    """
    before = [folder for folder in published(root) if folder.name < newest.name]
    kept = 1
    for folder in reversed(before):
        if kept < keep and (folder in known or _intact(folder)):
            kept += 1
        else:
            folder.rename(folder.with_name(f"{_TEMPORARY}old-{folder.name}"))
    for leftover in root.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(leftover)


def _intact(folder: Path) -> bool:
    try:
        verify(folder)
    except Damaged:
        return False
    return True

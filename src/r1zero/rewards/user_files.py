"""A user's file of verifiers as a module: it may import what lies beside it, and its classes can be pickled.

`sys.path` stays as it is: whatever is on it can be read in every container.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any


class _Beside:
    """Finds the modules in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(self.folder)]) if path is None else None


def run(file: Path) -> None:
    """Run a file. Raises whatever it raises."""
    path = file.resolve()
    name = f"r1zero_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _forget_others()
    beside: Any = _Beside(path.parent)
    before = set(sys.modules)
    sys.modules[name] = module  # where dataclasses and pickle look for the classes of a file
    sys.meta_path.insert(0, beside)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.meta_path.remove(beside)
        sys.meta_path.append(beside)  # for what its functions import; last, so that it hides no package
        new = set(sys.modules) - before - {name}
        _imported.update(found for found in new if _lies_in(found, path.parent))


_imported: set[str] = set()  # modules beside the file that was run last


def _forget_others() -> None:
    """What lay beside another file is not what lies beside the next, though it may have the same name."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Beside)]
    for name in _imported:
        sys.modules.pop(name, None)
    _imported.clear()


def _lies_in(module: str, folder: Path) -> bool:
    origin = getattr(sys.modules.get(module), "__file__", None)
    return origin is not None and folder in Path(origin).resolve().parents

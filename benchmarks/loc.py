"""What an algorithm costs to read: lines of each algorithm's file, and of what they share.

python benchmarks/loc.py
"""

from __future__ import annotations

from pathlib import Path

import r1zero.algorithms as algorithms

FOLDER = Path(algorithms.__file__).parent
SHARED = ("__init__", "advantages", "base", "kl", "losses")


def lines(file: Path) -> int:
    return file.read_text().count("\n")


def main() -> None:
    print("| file | lines |\n|---|--:|")
    own = sorted((file for file in FOLDER.glob("*.py") if file.stem not in SHARED), key=lambda file: file.stem)
    for file in own:
        print(f"| `{file.stem}` | {lines(file)} |")
    print(f"| shared: {', '.join(SHARED)} | {sum(lines(FOLDER / f'{name}.py') for name in SHARED)} |")


if __name__ == "__main__":
    main()

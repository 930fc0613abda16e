"""Which source files a script runs: what makes its output stale when they are edited.

Snakemake does not see the modules that a script imports, so every rule lists them as inputs. They are read off the
import statements (also those inside functions) and off the texts "module:name" by which a registry names what it
imports later, so the list cannot drift from the code, and an edit to the compiler does not retrain a network. A package
that calls `extensions.import_modules` imports all of its modules.
"""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from pathlib import Path
from typing import Iterator  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

# Planning reads some 300 files. Their import statements alone are parsed in a tenth of the time of whole syntax trees;
# a line of a docstring that looks like one does no harm.
_IMPORT = re.compile(r"^[ \t]*((?:from[ \t]+[\w.]+[ \t]+)?import\b[ \t]*(?:\([^)]*\)|[^\n(]+))", re.MULTILINE)
_NAMED = re.compile(r"""["']((?:softdpu|xir)(?:\.\w+)+):\w+["']""")
_ALL_BESIDE = re.compile(r"(?<!def )\bimport_modules\(")
# Files that a module reads at run time, which no import statement shows.
_DATA_OF = {"softdpu.numbers.boards": "softdpu/numbers/data"}


def sources(script: Path, root: Path) -> list[str]:
    """Return `script` and every file of ours that it imports, directly or not, sorted, relative to `root`.

    Args:
        script: a Python file below `root`.
        root: the project's folder, whose packages lie in `src`.
    """
    return sorted(str(file.relative_to(root)) for file in find_sources(script, root / "src"))


@functools.cache  # a sweep asks for the same scripts once per variant
def find_sources(script: Path, packages: Path) -> frozenset[Path]:
    """Return `script` and every file of the folder `packages` that it imports, directly or not."""
    found: set[str] = set()
    queue = [str(script)]
    while queue:
        file = queue.pop()
        if file not in found:
            found.add(file)
            queue.extend(_find_direct(file, packages))
    return frozenset(map(Path, found))


@functools.cache
def _find_direct(name: str, packages: Path) -> frozenset[str]:
    """Return the paths of the files of ours that one file imports itself."""
    file = Path(name)
    modules = _list_imports(file, packages)
    found = [path for module in modules for path in _files_of(module, packages)]
    if packages not in file.parents:  # the app's helpers lie beside it
        found += [file.with_name(f"{module}.py") for module in modules if file.with_name(f"{module}.py").is_file()]
    return frozenset(map(str, found))


@functools.cache
def _files_of(module: str, packages: Path) -> tuple[Path, ...]:
    """Return the file of a dotted module name, the packages around it and the data it reads, if it is ours."""
    return tuple(_find_files(module.split("."), packages))


def _find_files(parts: list[str], packages: Path) -> Iterator[Path]:
    for depth in range(1, len(parts) + 1):
        base = packages.joinpath(*parts[:depth])
        if (base / "__init__.py").is_file():
            yield base / "__init__.py"
        elif base.with_suffix(".py").is_file():
            yield base.with_suffix(".py")
        if ".".join(parts[:depth]) in _DATA_OF:
            yield from sorted((packages / _DATA_OF[".".join(parts[:depth])]).iterdir())


def _list_imports(file: Path, packages: Path) -> list[str]:
    """Return the dotted names that a Python file imports; `from a import b` may name a module a.b, so both count."""
    if file.suffix != ".py":
        return []
    package = file.parent.relative_to(packages).parts if packages in file.parents else ()
    text = file.read_text(encoding="utf-8")
    names: list[str] = _NAMED.findall(text)
    if _ALL_BESIDE.search(text):
        names.extend(".".join([*package, module.stem]) for module in file.parent.glob("*.py"))
    for statement in _IMPORT.findall(text):
        try:
            node = ast.parse(textwrap.dedent(statement)).body[0]
        except SyntaxError:  # a sentence
            continue
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*around, *([node.module] if node.module else [])])
            names.extend([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return names

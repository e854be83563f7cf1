"""The code that a module runs: itself, what it imports of this project, and the files it names.

Read from the source, so nothing is imported to find out. Imports inside functions count, and names
that are given to ``import_module``; imports for type checkers alone do not.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGES = ("flows", "tasks", "models")
ROOT = Path(__file__).parents[2]
TYPE_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def closure(module: str) -> list[Path]:
    """Every file that ``module`` (by its dotted name) depends on, itself included, sorted."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += [found for found in _imports(name) if found not in seen]
    return sorted({file for name in seen for file in _files(name)})


@cache
def code_version(module: str) -> str:
    """Hash of all files of :func:`closure`: of their names and contents."""
    digest = hashlib.sha256()
    for file in closure(module):
        digest.update(f"{relative(file)}:{_content_hash(file)}\n".encode())
    return digest.hexdigest()


def relative(file: Path) -> str:
    """A file's place below the folder that holds the packages; its name where it lies elsewhere."""
    return file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name


@cache
def _content_hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@cache
def _source(module: str) -> Path | None:
    """The file of a module: a first-party one's, or one that is loaded (a test's, a notebook's)."""
    if module.split(".")[0] in PACKAGES:
        place = ROOT.joinpath(*module.split("."))
        found = (place / "__init__.py", place.with_suffix(".py"))
        return next((file for file in found if file.is_file()), None)
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file else None


@cache
def _tree(module: str) -> ast.Module:
    file = _source(module)
    return ast.parse(file.read_bytes() if file else b"")


@cache
def _imports(module: str) -> tuple[str, ...]:
    """The first-party modules that are loaded when ``module`` is, and when its functions run."""
    found = {part for node in _live(_tree(module)) for part in _named(module, node)}
    parents = {module.rpartition(".")[0]} | {name.rpartition(".")[0] for name in found}
    return tuple(sorted(n for n in found | parents if n.split(".")[0] in PACKAGES and _source(n)))


def _live(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in TYPE_CHECKING:
            yield from (n for other in node.orelse for n in (other, *_live(other)))
            continue
        yield node
        yield from _live(node)


def _named(module: str, node: ast.AST) -> Iterator[str]:
    """The modules that a node may import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(module, node)
        yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield from _given(module, node)


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    source = _source(module)
    inside = module.split(".") + (["__init__"] if source and source.name == "__init__.py" else [])
    return ".".join([*inside[: -node.level], *([node.module] if node.module else [])])


def _given(module: str, call: ast.Call) -> Iterator[str]:
    """The modules that a call of ``import_module`` may load: the one that it names, or all in a
    package of which it computes the last part.

    Raises:
        ValueError: what it loads cannot be read off: a cache would not see it change.
    """
    argument = next(iter([*call.args, *(keyword.value for keyword in call.keywords)]), None)
    first = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
    name = first.value if isinstance(first, ast.Constant) else None
    if not isinstance(name, str) or name.startswith("."):
        raise ValueError(f"{module}: cannot tell what {ast.unparse(call)} loads: name it in full")
    if not isinstance(argument, ast.JoinedStr):
        yield name
        return
    package, _, start = name.rpartition(".")
    if start or len(argument.values) != 2:
        raise ValueError(f"{module}: cannot tell what {ast.unparse(call)} loads: name its package")
    for file in sorted(ROOT.joinpath(*package.split(".")).glob("*.py")):
        yield f"{package}.{file.stem}"


@cache
def _files(module: str) -> tuple[Path, ...]:
    """A module's source and the files beside it that it names (a template, expectations)."""
    source = _source(module)
    if source is None:
        return ()
    words = {n.value for n in ast.walk(_tree(module)) if isinstance(n, ast.Constant)}
    places = [source.parent / w for w in words if isinstance(w, str) and _is_name(w)]
    found = {f for p in places for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()}
    return (source, *sorted(f for f in found if not _is_code(f)))


def _is_name(word: str) -> bool:
    """Whether a constant may name a file below a module's folder."""
    return 0 < len(word) < 100 and word[0].isalnum() and word.isprintable()


def _is_code(file: Path) -> bool:
    """Whether a file is a module (which counts where it is imported), or made of one by Python."""
    module = file.suffix == ".py" and (file.parent / "__init__.py").exists()
    return module or "__pycache__" in file.parts

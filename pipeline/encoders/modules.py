"""Which modules a sentence-transformers folder puts after each other, of one tower or, through a Router, of two."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pipeline.encoders.selection import SELECTIVE
from pipeline.errors import UserError
from pipeline.files import read_json, read_object

Kind = Literal["query", "document"]
KINDS: tuple[Kind, Kind] = ("query", "document")

MODULES = "modules.json"
LIBRARY = "sentence_transformers."
"""What the dotted name of a module's class begins with, whichever of its places a version of the library gives it."""

ROUTERS = ("Router", "Asym")
"""What sends each text to modules of its own; Asym is the older name."""

KNOWN = ("Transformer", "StaticEmbedding", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout", *ROUTERS)


@dataclass(frozen=True)
class Module:
    """One step from a text to its vector.

    Attributes:
        kind: The name of its class, such as `Dense`.
        folder: Where it keeps its config and weights.
        selective: Whether it is our own transformer that reads selected tokens only.
    """

    kind: str
    folder: Path
    selective: bool = False

    def config(self, **required: type) -> dict[str, Any]:
        """Read its config.

        Args:
            required: What it must say, each of which kind.

        Raises:
            UserError: When it has none, or it lacks something.
        """
        return _read_whole(self.folder / "config.json", required)


def read_modules(folder: Path, kind: Kind) -> list[Module]:
    """Read the modules that a text of one side passes through, in their order.

    Args:
        folder: Holds `modules.json`.
        kind: The side; all folders but those with a Router have the same for both.

    Raises:
        UserError: When a module is not known here, lies outside the folder, or has no route for this side.
    """
    modules: list[Module] = []
    for entry in _read_list(folder / MODULES):
        path, name = (entry.get(key) if isinstance(entry, dict) else None for key in ("path", "type"))
        module = _module(folder, path, name, folder / MODULES)
        modules += _routed(module, kind) if module.kind in ROUTERS else [module]
    if not modules or modules[0].kind not in ("Transformer", "StaticEmbedding"):
        begins = f"begins with {modules[0].kind}" if modules else "names no module"
        raise UserError(f"{folder / MODULES} {begins}; it must begin with a Transformer or a StaticEmbedding module.")
    return modules


def is_pair(folder: Path) -> bool:
    """Whether a folder's queries and documents pass through different modules."""
    return (folder / MODULES).exists() and len({tuple(read_modules(folder, kind)) for kind in KINDS}) > 1


def _module(folder: Path, path: Any, name: Any, where: Path) -> Module:
    """Check the entry of one module.

    Classes of others are refused whatever is trusted: what they compute cannot be known here.
    """
    if not isinstance(path, str) or not isinstance(name, str):
        raise UserError(f"{where} lists a module without its path or its type; copy the model again.")
    kind = "Transformer" if name == SELECTIVE else name.rsplit(".", 1)[-1]
    if not name.startswith((LIBRARY, SELECTIVE)) or kind not in KNOWN:
        raise UserError(
            f"{where} has a module {name}, which is not known here; known are {', '.join(KNOWN)} of sentence-transformers."
        )
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UserError(f"{where} names the path {path}, which is not within the folder; mend the file.")
    return Module(kind, folder / path, name == SELECTIVE)


def _routed(router: Module, kind: Kind) -> list[Module]:
    """Read the modules that a Router has for one side."""
    path = router.folder / "router_config.json"
    path = path if path.exists() else router.folder / "config.json"
    config = _read_whole(path, {"types": dict, "structure": dict})
    structure, mappings = config["structure"], _mappings(config, path)
    wanted = [(kind, "text"), (kind, None), (None, "text"), (None, None)]
    routes = [*(mappings.get(one) for one in wanted), *(name for name in (kind, "text") if name in structure)]
    route = next((name for name in routes if name is not None), None)
    if route not in structure:
        raise UserError(f"{path} has no route for a {kind}, but {', '.join(structure)}; choose another model.")
    modules = [_module(router.folder, name, config["types"].get(name), path) for name in structure[route]]
    if nested := [module.kind for module in modules if module.kind in ROUTERS]:
        raise UserError(f"{path} has a {nested[0]} within a route, which is not known here; choose another model.")
    return modules


def _mappings(config: dict[str, Any], path: Path) -> dict[Any, str]:
    """Read which task and medium goes which way, written as Python writes a pair."""
    said = (config.get("parameters") or {}).get("route_mappings") or {}
    try:
        return {ast.literal_eval(key): route for key, route in said.items()}
    except (ValueError, SyntaxError) as error:
        raise UserError(f"{path} has route_mappings that cannot be read: {', '.join(said)}; mend the file.") from error


def _read_list(path: Path) -> list[Any]:
    """Read a file of JSON that must hold a list."""
    found = read_json(path)
    if not isinstance(found, list):
        raise UserError(f"{path} holds no list; save or copy the model again.")
    return found


def _read_whole(path: Path, required: Mapping[str, type]) -> dict[str, Any]:
    """Read a file of JSON that must be there, hold an object, and say what is required."""
    if not path.exists():
        raise UserError(f"{path} is missing, so the model is only half written; save or copy it again.")
    found = read_object(path, **required)
    if any(found.get(name) is None for name in required):
        raise UserError(f"{path} holds no object with {' and '.join(required)}; save or copy the model again.")
    return found

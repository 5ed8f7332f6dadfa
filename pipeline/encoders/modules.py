"""Which modules a sentence-transformers folder puts after each other, of one tower or, through a Router, of two."""

import ast
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.files import read_json

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
    """

    kind: str
    folder: Path

    def config(self) -> dict[str, Any]:
        """Read its config.

        Raises:
            UserError: When it has none.
        """
        path = self.folder / "config.json"
        if not path.exists():
            raise UserError(f"{path} is missing, so {self.folder.parent} is only half written; save or copy it again.")
        return read_json(path)


def read_modules(folder: Path, kind: Kind) -> list[Module]:
    """Read the modules that a text of one side passes through, in their order.

    Args:
        folder: Holds `modules.json`.
        kind: The side; all folders but those with a Router have the same for both.

    Raises:
        UserError: When a module is not known here, lies outside the folder, or has no route for this side.
    """
    modules: list[Module] = []
    for entry in read_json(folder / MODULES):
        module = _module(folder, entry["path"], entry["type"], folder / MODULES)
        modules += _routed(module, kind) if module.kind in ROUTERS else [module]
    if not modules or modules[0].kind not in ("Transformer", "StaticEmbedding"):
        begins = f"begins with {modules[0].kind}" if modules else "names no module"
        raise UserError(f"{folder / MODULES} {begins}; it must begin with a Transformer or a StaticEmbedding module.")
    return modules


def is_pair(folder: Path) -> bool:
    """Whether a folder's queries and documents pass through different modules."""
    return (folder / MODULES).exists() and len({tuple(read_modules(folder, kind)) for kind in KINDS}) > 1


def _module(folder: Path, path: str, name: str, where: Path) -> Module:
    """Check the entry of one module.

    Classes of others are refused whatever is trusted: what they compute cannot be known here.
    """
    kind = name.rsplit(".", 1)[-1]
    if not name.startswith(LIBRARY) or kind not in KNOWN:
        raise UserError(
            f"{where} has a module {name}, which is not known here; known are {', '.join(KNOWN)} of sentence-transformers."
        )
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UserError(f"{where} names the path {path}, which is not within the folder; mend the file.")
    return Module(kind, folder / path)


def _routed(router: Module, kind: Kind) -> list[Module]:
    """Read the modules that a Router has for one side."""
    path = router.folder / "router_config.json"
    path = path if path.exists() else router.folder / "config.json"
    if not path.exists():
        raise UserError(f"{path} is missing, so {router.folder} is only half written; save or copy it again.")
    config = read_json(path)
    structure, parameters = config["structure"], config.get("parameters") or {}
    mappings = {ast.literal_eval(key): route for key, route in (parameters.get("route_mappings") or {}).items()}
    wanted = [(kind, "text"), (kind, None), (None, "text"), (None, None)]
    routes = [*(mappings.get(one) for one in wanted), *(name for name in (kind, "text") if name in structure)]
    route = next((name for name in routes if name is not None), None)
    if route not in structure:
        raise UserError(f"{path} has no route for a {kind}, but {', '.join(structure)}; choose another model.")
    modules = [_module(router.folder, name, config["types"][name], path) for name in structure[route]]
    if nested := [module.kind for module in modules if module.kind in ROUTERS]:
        raise UserError(f"{path} has a {nested[0]} within a route, which is not known here; choose another model.")
    return modules

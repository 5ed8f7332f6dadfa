"""Opens folders that `benchmarks.elsewhere` saved, in whatever interpreter runs it, and prints how far vectors are off.

It imports nothing of the project: it stands for the user who has sentence-transformers, or optimum-onnx beside it, alone.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

PACKAGES = ("sentence-transformers", "transformers", "tokenizers", "torch", "optimum-onnx", "onnxruntime")


def versions() -> str:
    """Name what is installed."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def answer(way: Callable[..., str], *arguments: object) -> str:
    """Give what a way of opening says, or how it fails."""
    try:
        return way(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:110]}"


def largest_difference(model: SentenceTransformer, folder: Path, texts: list[str]) -> str:
    """Compare both kinds of vectors with the project's."""
    ours = np.load(folder / "vectors.npz")
    theirs = {"query": model.encode_query(texts), "document": model.encode_document(texts)}
    return f"{max(float(np.abs(ours[kind] - theirs[kind]).max()) for kind in theirs):.1e}"


def opened(folder: Path, texts: list[str]) -> str:
    """Open a folder as its users do."""
    return largest_difference(SentenceTransformer(str(folder), device="cpu"), folder, texts)


def same_ids(folder: Path, texts: list[str]) -> str:
    """Compare token ids, cut ones included."""
    ours = json.loads((folder / "ids.json").read_text())
    theirs = AutoTokenizer.from_pretrained(str(folder))(texts, truncation=True)["input_ids"]
    return "equal" if ours == theirs else "OTHER"


def by_onnx(folder: Path, texts: list[str]) -> str:
    """Export to ONNX and encode with that."""
    options = {"export": True, "provider": "CPUExecutionProvider"}
    return largest_difference(
        SentenceTransformer(str(folder), device="cpu", backend="onnx", model_kwargs=options), folder, texts
    )


def exported(folder: Path) -> str:
    """Export by optimum's own command, which checks what it wrote against the model."""
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory() as place:
        main_export(str(folder), place, task="feature-extraction", atol=1e-4)
    return "exported"


def main() -> None:
    """Open every folder in every way that is installed."""
    root = Path(sys.argv[1])
    texts = json.loads((root / "texts.json").read_text())
    print(f"Python {sys.version.split()[0]}, {versions()}")
    onnx = "optimum-onnx" in versions()
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        said = [f"vectors {answer(opened, folder, texts)}"]
        if (folder / "ids.json").exists():
            said.append(f"ids {answer(same_ids, folder, texts)}")
            if onnx:
                said += [f"by ONNX {answer(by_onnx, folder, texts)}", answer(exported, folder)]
        print(f"  {folder.name:22} {'; '.join(said)}", flush=True)


if __name__ == "__main__":
    main()

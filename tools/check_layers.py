#!/usr/bin/env python3
"""Holds every #include of the tree against the dependency table of docs/architecture.md.

Link lines already keep modules apart at link time; this keeps headers apart too.
"""

import pathlib
import re
import sys

# Module: the modules it may include, besides itself. Transitive dependencies are listed.
ALLOWED = {
    "support": set(),
    "ir": {"support"},
    "import": {"ir", "support"},
    "data": {"support"},
    "kernels": {"ir", "support"},
    "plan": {"ir", "support"},
    "compiler": {"plan", "ir", "support"},
    "codegen": {"compiler", "plan", "ir", "support"},
    "device": {"codegen", "cost", "support"},
    "cost": {"plan", "ir", "support"},
    "train": {"kernels", "data", "plan", "ir", "support"},
    "engine": {"codegen", "compiler", "train", "kernels", "data", "plan", "ir", "support"},
    "trials": {"engine", "compiler", "train", "cost", "kernels", "data", "plan", "ir", "support"},
    "contribution": {"trials", "train", "cost", "kernels", "data", "plan", "ir", "support"},
    "search": {"support"},
    "selection": {"compiler", "contribution", "cost", "search", "train", "data", "plan", "ir", "support"},
    "study": {"search", "support"},
    "report": {"support"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+"espalier/([a-z_]+)/', re.MULTILINE)


def files_of(root: pathlib.Path, module: str):
    folders = [root / "include" / "espalier" / module]
    folders.append(root / "search" if module == "search" else root / "src" / module)
    for folder in folders:
        yield from (p for p in sorted(folder.rglob("*")) if p.suffix in {".hpp", ".cpp", ".inc"})


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    problems = []
    modules = {p.name for p in (root / "src").iterdir() if p.is_dir()} | {"search"}
    for unknown in sorted(modules - ALLOWED.keys() - {"cli"}):
        problems.append(f"src/{unknown}: not in the dependency table of tools/check_layers.py")
    for module, allowed in ALLOWED.items():
        for path in files_of(root, module):
            for included in INCLUDE.findall(path.read_text()):
                if included != module and included not in allowed:
                    problems.append(f"{path.relative_to(root)}: {module} must not include {included}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

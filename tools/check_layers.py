#!/usr/bin/env python3
"""Holds the tree against its own rules: who may include what, how long files and functions may be, and that
links of documents lead somewhere.

Public headers follow the dependency table of docs/architecture.md. A private header, one that lies
beside the sources of a module, belongs to that module alone. Link lines already keep modules apart at
link time; this keeps headers apart too. No source is longer than LONGEST_SOURCE lines,
no function of C or C++ than LONGEST_FUNCTION. A link in a document, and a document's path anywhere, names a file
that is there, and a heading of it.
"""

import pathlib
import re
import sys

# Module: the modules it may include, besides itself. Transitive dependencies are listed.
ALLOWED = {
    "support": set(),
    "runtime": set(),
    "ir": {"support"},
    "import": {"ir", "support"},
    "data": {"support"},
    "kernels": {"ir", "support"},
    "plan": {"ir", "support"},
    "compiler": {"plan", "ir", "runtime", "support"},
    "codegen": {"compiler", "plan", "ir", "runtime", "support"},
    "device": {"codegen", "compiler", "cost", "support"},
    "cost": {"plan", "ir", "support"},
    "train": {"kernels", "data", "plan", "ir", "support"},
    "engine": {"codegen", "compiler", "train", "kernels", "data", "plan", "ir", "runtime", "support"},
    "trials": {"engine", "compiler", "train", "cost", "kernels", "data", "plan", "ir", "support"},
    "search": {"support"},
    "contribution": {"trials", "train", "cost", "search", "kernels", "data", "plan", "ir", "support"},
    "selection": {"codegen", "compiler", "contribution", "cost", "search", "train", "data", "plan", "ir", "support"},
    "study": {"contribution", "cost", "data", "import", "ir", "plan", "search", "selection", "support",
              "train", "trials"},
    "report": {"support"},
}

# Whose headers beside their sources a module may include all the same: `hw` is no module of src, and
# C kernels have no other place for theirs.
PRIVATE_ALLOWED = {
    "codegen": {"runtime"},
    "compiler": {"runtime"},
    "device": {"hw"},
    "engine": {"runtime"},
}

LONGEST_SOURCE = 1000
LONGEST_FUNCTION = 100
FUNCTION_SOURCES = {".cpp", ".hpp", ".inc", ".c", ".h"}
# What else opens a block with a parenthesis before it.
NO_FUNCTION = re.compile(r"(namespace|class|struct|union|enum|extern|if|for|while|switch|do|else|return|case|\})\b")
SOURCES = {".cpp", ".hpp", ".inc", ".def", ".c", ".h", ".S", ".sv", ".py", ".sh", ".ld"}
FOLDERS = ("cmake", "hw", "include", "search", "src", "tests", "tools")

INCLUDE = re.compile(r'^\s*#\s*include\s+"espalier/([a-z_]+)/', re.MULTILINE)


LINK = re.compile(r"\]\(([^)\s]+)\)")
DOCUMENT = re.compile(r"\bdocs/[\w./-]+\.md\b")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)

QUOTED = re.compile(r'^\s*#\s*include\s+"(?!espalier/)([^"]+)"', re.MULTILINE)


def folder_of(root: pathlib.Path, module: str) -> pathlib.Path:
    return root / "search" if module == "search" else root / "src" / module


def files_of(root: pathlib.Path, module: str):
    for folder in (root / "include" / "espalier" / module, folder_of(root, module)):
        yield from (p for p in sorted(folder.rglob("*")) if p.suffix in {".hpp", ".cpp", ".inc", ".c", ".h"})


def owner_of(root: pathlib.Path, including: pathlib.Path, name: str, module: str):
    """The module whose private header `name` is; None for a header that is generated or elsewhere."""
    places = [including.parent, folder_of(root, module), root / "src", root / "hw"]
    found = next((p / name for p in places if (p / name).is_file()), None)
    if found is None:
        return None
    parts = found.resolve().relative_to(root).parts
    return parts[1] if parts[0] == "src" else parts[0]


def include_problems(root: pathlib.Path, module: str, allowed):
    for path in files_of(root, module):
        text, where = path.read_text(), path.relative_to(root)
        if allowed is not None:
            for included in INCLUDE.findall(text):
                if included != module and included not in allowed:
                    yield f"{where}: {module} must not include {included}"
        for name in QUOTED.findall(text):
            owner = owner_of(root, path, name, module)
            if owner not in {None, module} | PRIVATE_ALLOWED.get(module, set()):
                yield f"{where}: \"{name}\" is a private header of {owner}"


def size_problems(root: pathlib.Path):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SOURCES or not path.is_file():
                continue
            lines, where = path.read_text().count("\n"), str(path.relative_to(root))
            if lines > LONGEST_SOURCE:
                yield f"{where}: {lines} lines; split it, {LONGEST_SOURCE} are the most"


def functions(text: str):
    """Line, length and head of each function of a formatted source: a body ends at the first closing
    brace indented as the first line of its head is."""
    lines, head = text.split("\n"), []
    for at, line in enumerate(lines):
        code = line.strip()
        if not code or code.startswith(("//", "#", "/*", "*")):
            head = []
            continue
        head.append(at)
        if code.endswith("{"):
            words = " ".join(lines[k].strip() for k in head)
            before = words.split("(")[0]
            whole = words.count("(") == words.count(")") > 0 and words.count("{") == words.count("}") + 1
            if whole and "[" not in before and " = " not in before and not NO_FUNCTION.match(words):
                indent = len(lines[head[0]]) - len(lines[head[0]].lstrip())
                ends = (k for k in range(at + 1, len(lines)) if lines[k].startswith(" " * indent + "}"))
                yield head[0] + 1, next(ends, len(lines)) - head[0] + 1, words
            head = []
        elif code.endswith((";", "}", ":")):
            head = []


def function_problems(root: pathlib.Path):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in FUNCTION_SOURCES or not path.is_file():
                continue
            for line, length, head in functions(path.read_text()):
                if length > LONGEST_FUNCTION:
                    yield (f"{path.relative_to(root)}:{line}: {length} lines; split it, "
                           f"{LONGEST_FUNCTION} are the most: {head[:60]}")


def anchors(document: pathlib.Path):
    """What GitHub calls the headings of a document."""
    for heading in HEADING.findall(document.read_text()):
        yield re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def link_problems(root: pathlib.Path):
    documents = [*root.glob("*.md")]
    for folder in ("docs", "examples", "hw", "profiles", "reports"):
        documents += sorted((root / folder).rglob("*.md"))
    for path in documents:
        for link in LINK.findall(path.read_text()):
            if "://" in link:
                continue
            name, _, anchor = link.partition("#")
            to = path.parent / name if name else path
            if not to.exists():
                yield f"{path.relative_to(root)}: {link} leads nowhere"
            elif anchor and anchor not in anchors(to):
                yield f"{path.relative_to(root)}: {link}: no such heading"
    sources = (p for folder in (*FOLDERS, "configs") for p in sorted((root / folder).rglob("*")))
    for path in (*documents, *(p for p in sources if p.suffix in SOURCES | {".json", ".toml"})):
        for name in DOCUMENT.findall(path.read_text()):
            if not (root / name).exists():
                yield f"{path.relative_to(root)}: no {name}"


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    problems = []
    modules = {p.name for p in (root / "src").iterdir() if p.is_dir()} | {"search"}
    for unknown in sorted(modules - ALLOWED.keys() - {"cli"}):
        problems.append(f"src/{unknown}: not in the dependency table of tools/check_layers.py")
    for module in [*ALLOWED, "cli"]:
        problems += include_problems(root, module, ALLOWED.get(module))
    problems += size_problems(root)
    problems += function_problems(root)
    problems += link_problems(root)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

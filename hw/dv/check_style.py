#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the conventions of hw/ that no compiler and no linter knows.

    hw/dv/check_style.py [DIR]

Every file names its licence; a file of RTL holds the one module or package of its name, in at most
100 columns, its reset is `srst_ni`, and its assertions and cover points have labels. Prints what is wrong; exit status 1 if anything is.
"""
import pathlib
import re
import sys

HW = pathlib.Path(__file__).resolve().parents[1]


def check(path, text):
    lines = text.splitlines()
    if not any("SPDX-License-Identifier: MIT" in line for line in lines[:2]):
        yield 1, "no SPDX line among the first two"
    if path.suffix != ".sv":
        return
    names = re.findall(r"^(?:module|package) (\w+)", text, re.MULTILINE)
    if names != [path.stem]:
        yield 1, f"holds {', '.join(names) or 'nothing'} instead of {path.stem}"
    for number, line in enumerate(lines, 1):
        if len(line) > 100:
            yield number, "longer than 100 columns"
        if re.search(r"\ba?rst_n?i?\b|negedge", line):
            yield number, "the reset is synchronous and named srst_ni"
        if re.search(r"\b(assert|cover|assume)\b *(property *)?\(", line) and not re.search(
                r"\b[A-Z]\w*: (assert|cover|assume)\b", line):
            yield number, "an assertion or cover point without a label"


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HW
    found = 0
    for path in sorted(root.rglob("*")):
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        for number, message in check(path, path.read_text()):
            print(f"{path}:{number}: {message}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

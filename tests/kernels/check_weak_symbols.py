#!/usr/bin/env python3
"""Fails when an object of kernels for a newer instruction set defines a weak symbol.

Inline functions and templates of headers become weak symbols, of which the linker keeps one for the
whole program. Were it that of such an object, every processor would run its instructions. Compilers
keep inline functions that they did not inline in unoptimised builds, so only Release is checked;
elsewhere the exit code is 77, which ctest shows as skipped.
"""

import argparse
import pathlib
import subprocess
import sys

SKIPPED = 77
# Of src/kernels/simd, what is compiled for every processor.
BASELINE = {"dispatch", "portable"}
# Types of nm: weak objects and functions, and symbols unique in the process. Small letters of the
# first two are references, which pass no code on.
WEAK = {"W", "V", "u"}


def weak_symbols(nm: str, path: pathlib.Path) -> list[str]:
    listing = subprocess.run(
        [nm, "--format=posix", path], check=True, capture_output=True, text=True
    ).stdout
    symbols = [line.split()[:2] for line in listing.splitlines()]
    if not symbols:
        raise ValueError(f"{path}: nm lists no symbols; it may not read this format")
    return [name for name, kind in symbols if kind in WEAK]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nm", required=True, help="the nm that reads these objects")
    parser.add_argument("--build-type", required=True)
    parser.add_argument("objects", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    if args.build_type != "Release":
        print(f"skipped: a {args.build_type} build may keep inline functions")
        return SKIPPED
    simd = {p.name.split(".")[0]: p for p in args.objects if p.parent.name == "simd"}
    if not BASELINE <= simd.keys():
        print("the objects of src/kernels/simd are not among the arguments", file=sys.stderr)
        return 1
    newer = sorted(simd.keys() - BASELINE)
    if not newer:
        print("skipped: this architecture has the portable kernels only")
        return SKIPPED
    failed = False
    for name in newer:
        for symbol in weak_symbols(args.nm, simd[name]):
            print(f"{simd[name]}: weak symbol {symbol}", file=sys.stderr)
            failed = True
    print(f"checked: {', '.join(newer)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# Splits CIFAR-10 records (a label byte, then the image) in two by class: the last N of each class
# of FILE, behind them all records of each further file, go to TEST, the others to TRAIN.
#   tools/split_cifar10.py FILE [MORE...] --hold-out N --train TRAIN --test TEST
import argparse
import os

RECORD = 1 + 32 * 32 * 3


def records(path):
    with open(path, "rb") as file:
        data = file.read()
    if not data or len(data) % RECORD != 0:
        raise SystemExit(f"{path}: is not made of records of {RECORD} bytes")
    return [data[i : i + RECORD] for i in range(0, len(data), RECORD)]


def write(path, parts):
    with open(path + ".new", "wb") as file:
        file.write(b"".join(parts))
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--hold-out", type=int, required=True, metavar="N")
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    arguments = parser.parse_args()
    whole = records(arguments.files[0])
    of_class = {}
    for record in whole:
        of_class[record[0]] = of_class.get(record[0], 0) + 1
    seen = {}
    train, test = [], []
    for record in whole:
        seen[record[0]] = seen.get(record[0], 0) + 1
        held = seen[record[0]] > of_class[record[0]] - arguments.hold_out
        (test if held else train).append(record)
    for path in arguments.files[1:]:
        test += records(path)
    write(arguments.train, train)
    write(arguments.test, test)


main()

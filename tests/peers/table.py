"""Reads samples as tests/peers/throughput.sh collects them, and prints a Markdown table: a row for each kind of call, a
column for each name, and in it the fastest of its samples. What else the machine does makes a sample slower, and none
faster. The first in a row is bold."""

import sys

samples: dict[tuple, dict[str, list[float]]] = {}
for line in sys.stdin:
    name, operation, payloads, size, microseconds = line.rstrip("\n").split("\t")
    row = samples.setdefault((operation, payloads, size), {})
    row.setdefault(name, []).append(float(microseconds))

names = list(dict.fromkeys(name for row in samples.values() for name in row))


def cells(row: dict[str, list[float]]) -> list[str]:
    fastest = {name: min(times) for name, times in row.items()}
    texts = {name: f"{time:.{0 if time >= 100 else 1 if time >= 10 else 2}f}" for name, time in fastest.items()}
    first = min(fastest, key=fastest.get)
    texts[first] = f"**{texts[first]}**"
    return [texts.get(name, "") for name in names]


def line(cells: list[str]) -> None:
    print("|", " | ".join(cells), "|")


line(["µs for a payload: operation", "payloads in a call", "bytes", *names])
line(["---"] * (3 + len(names)))
for call, row in samples.items():
    line([*call, *cells(row)])

#!/usr/bin/env python3
"""Draws a contribution profile, and a plan chosen from it, as one SVG.

  tools/plot_profile.py contributions.json [--plan plan.json] [--metric accuracy|loss] --out why.svg

Above: the gain of training the last k biases. Below: the gain of each conv's weights at each ratio,
on top of the biases down to that conv. What the plan trains is outlined. Shallow convs are left.
"""

import argparse
import json
import os
import sys

CELL = 20
LEFT = 84
TOP = 56
CURVE = 110
GAP = 34


def load(path, schema):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    if document.get("schema") != schema:
        sys.exit(f"{path}: schema is {document.get('schema')!r}, expected {schema!r}")
    return document


def colour(value, largest):
    """White at 0, green for gains, red for losses."""
    share = max(-1.0, min(1.0, value / largest)) if largest > 0 else 0.0
    rgb = (26, 122, 76) if share >= 0 else (190, 60, 50)
    mixed = [round(255 + (c - 255) * abs(share)) for c in rgb]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def mean(row, metric):
    gain = row.get(f"{metric}_gain")
    return None if gain is None else gain["mean"]


def draw(profile, plan, metric):
    bias = {row["depth"]: mean(row, metric) for row in profile["bias"]}
    weight = {(row["conv"], row["ratio"]): mean(row, metric) for row in profile["weight"]}
    ratios = profile["ratios"]
    convs = max([conv for conv, _ in weight] + [max(bias) - 1]) + 1
    unit = "points of accuracy" if metric == "accuracy" else "validation loss"
    scale = 100 if metric == "accuracy" else 1
    chosen = {(w["conv"], w["ratio"]) for w in plan["weights"]} if plan else set()
    depth = plan["bias_depth"] if plan else 0
    x_of = lambda conv: LEFT + conv * CELL  # noqa: E731
    grid_top = TOP + CURVE + GAP
    width = LEFT + convs * CELL + 24
    height = grid_top + len(ratios) * CELL + 74

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{profile["model"]["name"]}: '
        "what each part contributes</text>",
    ]
    subtitle = f"head only reaches {profile['baseline']['accuracy']['mean'] * 100:.1f} %"
    if plan:
        subtitle += "; outlined: what the plan trains"
        if "budget_bytes" in plan:
            subtitle += f" within {plan['budget_bytes'] / 1024:g} KiB"
    out.append(f'<text x="{LEFT}" y="38" fill="#555">{subtitle}</text>')

    # Gain of the biases from each conv to the last.
    gains = [v for v in bias.values() if v is not None]
    low, high = min(0.0, min(gains)), max(max(gains), 1e-9)
    y_of = lambda v: TOP + CURVE - (v - low) / (high - low) * CURVE  # noqa: E731
    if plan and depth:
        first = convs - depth
        out.append(
            f'<rect x="{x_of(first)}" y="{TOP}" width="{depth * CELL}" height="{CURVE}" '
            'fill="#eef5ff"/>'
        )
    for value in (low, 0.0, high):
        out.append(
            f'<line x1="{LEFT}" x2="{width - 24}" y1="{y_of(value):.1f}" y2="{y_of(value):.1f}" '
            f'stroke="#ddd"/><text x="{LEFT - 6}" y="{y_of(value) + 4:.1f}" text-anchor="end">'
            f"{value * scale:+.3g}</text>"
        )
    points = " ".join(
        f"{x_of(convs - k) + CELL / 2:.1f},{y_of(v):.1f}"
        for k, v in sorted(bias.items(), reverse=True)
        if v is not None and k > 0
    )
    out.append(f'<polyline points="{points}" fill="none" stroke="#2a5db0" stroke-width="2"/>')
    out.append(
        f'<text x="{LEFT}" y="{TOP + CURVE + 16}" fill="#555">biases of this conv and all behind '
        f"it ({unit} over head only)</text>"
    )

    # Gain of the weights.
    measured = [v for v in weight.values() if v is not None]
    largest = max([*measured, 1e-9])
    for r, ratio in enumerate(reversed(ratios)):
        y = grid_top + r * CELL
        out.append(f'<text x="{LEFT - 6}" y="{y + 14}" text-anchor="end">ratio {ratio:g}</text>')
        for conv in range(convs):
            if (conv, ratio) not in weight:
                continue
            value = weight[conv, ratio]
            fill = "#999" if value is None else colour(value, largest)
            label = "diverged" if value is None else f"{value * scale:+.3g}"
            out.append(
                f'<rect x="{x_of(conv)}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" '
                f'fill="{fill}"><title>conv {conv}, ratio {ratio:g}: {label}</title></rect>'
            )
    for conv, ratio in sorted(chosen):
        y = grid_top + (len(ratios) - 1 - ratios.index(ratio)) * CELL
        out.append(
            f'<rect x="{x_of(conv)}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="none" '
            'stroke="#111" stroke-width="2.5"/>'
        )
    y = grid_top + len(ratios) * CELL + 14
    for conv in range(0, convs, 2 if convs > 20 else 1):
        out.append(f'<text x="{x_of(conv) + CELL / 2}" y="{y}" text-anchor="middle">{conv}</text>')
    out.append(
        f'<text x="{LEFT}" y="{y + 18}" fill="#555">conv index; weights on top of the biases down '
        f"to this conv: white 0, darkest green {largest * scale:+.3g} {unit}, red: worse</text>"
    )
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("profile", help="contribution profile (espalier.contributions/1)")
    parser.add_argument("--plan", help="update plan (espalier.plan/1) to outline")
    parser.add_argument("--metric", choices=["accuracy", "loss"], default="accuracy")
    parser.add_argument("--out", required=True, help="where the SVG goes")
    options = parser.parse_args()
    profile = load(options.profile, "espalier.contributions/1")
    plan = load(options.plan, "espalier.plan/1") if options.plan else None
    picture = draw(profile, plan, options.metric)
    temporary = f"{options.out}.tmp{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(picture)
    os.replace(temporary, options.out)


if __name__ == "__main__":
    main()

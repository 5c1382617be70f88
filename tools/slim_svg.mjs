// Makes the SVG that Vega writes small without changing what it shows: numbers of one decimal, styles
// as classes, symbols and repeated outlines once. A pure function of the text.

const kStyles = /\s(fill|fill-opacity|stroke|stroke-opacity|stroke-width|stroke-dasharray|stroke-miterlimit|opacity|font-family|font-size|font-weight|text-anchor)="([^"]*)"/g;

const rounded = (text) =>
  text.replace(/-?\d+\.\d+(e-?\d+)?/g, (number) => String(Math.round(Number(number) * 10) / 10 || 0));

// Names in the order of first appearance.
function namer(prefix) {
  const names = new Map();
  const of = (value) => {
    if (!names.has(value)) names.set(value, prefix + names.size.toString(36));
    return names.get(value);
  };
  return { of, entries: () => [...names.entries()] };
}

export function slim(svg) {
  const classes = namer("c");
  const outlines = namer("o");
  const begin = svg.indexOf(">") + 1;
  const end = svg.lastIndexOf("</svg>");
  let body = svg.slice(begin, end);
  body = body.replace(/\s(class|role|pointer-events|aria-[a-z]+)="[^"]*"/g, "");
  body = body.replace(/\s(transform|d|x|y|x1|x2|y1|y2|width|height)="([^"]*)"/g, (_, name, value) =>
    ` ${name}="${rounded(value)}"`);
  body = body.replace(/<path [^>]*display="none"\/>/g, "");
  body = body.replace(/<([a-z]+)((?:\s[a-z0-9:-]+="[^"]*")*)(\/?)>/g, (whole, tag, attributes, close) => {
    let style = "";
    const rest = attributes.replace(kStyles, (_, name, value) => {
      style += `${name}:${name === "font-size" && /^\d+(\.\d+)?$/.test(value) ? value + "px" : value};`;
      return "";
    });
    return `<${tag}${rest}${style ? ` class="${classes.of(style)}"` : ""}${close}>`;
  });
  // What is drawn again and again in other places is drawn once and used.
  const count = new Map();
  const placed = /<(path|line) transform="translate\(([^,]*),([^)]*)\)" ([^>]*)\/>/g;
  const what = (tag, rest) => `<${tag} id="ID" ${rest}/>`;
  for (const [, tag, , , rest] of body.matchAll(placed)) {
    count.set(what(tag, rest), (count.get(what(tag, rest)) ?? 0) + 1);
  }
  body = body.replace(placed, (whole, tag, x, y, rest) =>
    count.get(what(tag, rest)) < 3 ? whole : `<use href="#${outlines.of(what(tag, rest))}" x="${x}" y="${y}"/>`);
  const css = classes.entries().map(([style, name]) => `.${name}{${style}}`).join("");
  const shapes = outlines.entries().map(([drawn, name]) => drawn.replace("ID", name)).join("");
  return `${svg.slice(0, begin)}<style>${css}</style><defs>${shapes}</defs>${body}</svg>`;
}

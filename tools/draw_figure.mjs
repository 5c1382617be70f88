// Draws figures of a report as one SVG, below each other, with the library of tools/setup.sh.
//   node tools/draw_figure.mjs report.json OUT.svg FIGURE_ID...
// FIGURE_ID is the id of a figure in report.json, such as weights-1. Same input, same bytes.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { runInThisContext } from "node:vm";

const root = new URL("..", import.meta.url);
const [reportPath, outPath, ...ids] = process.argv.slice(2);
if (ids.length === 0) {
  console.error("usage: node tools/draw_figure.mjs report.json OUT.svg FIGURE_ID...");
  process.exit(2);
}

const modules = process.env.ESPALIER_NPM ?? new URL("build/npm/node_modules", root).pathname;
for (const file of ["vega/build/vega.min.js", "vega-lite/build/vega-lite.min.js"]) {
  try {
    runInThisContext(readFileSync(`${modules}/${file}`, "utf8"));
  } catch (error) {
    console.error(`${modules}/${file}: ${error.message}; run tools/setup.sh`);
    process.exit(66);
  }
}

const report = JSON.parse(readFileSync(reportPath, "utf8"));
if (report.schema !== "espalier.report/1") {
  console.error(`${reportPath}: schema is '${report.schema}', expected 'espalier.report/1'`);
  process.exit(65);
}
const sections = report.sections.map((section) => [section, section.figures]).filter(([, f]) => f.length);
const known = sections.flatMap(([, figures]) => figures.map((figure) => figure.id));

function specificationOf(id) {
  for (const [section, figures] of sections) {
    const figure = figures.find((one) => one.id === id);
    if (!figure) continue;
    const table = section.tables.find((one) => one.id === figure.table);
    const values = table.rows.map((row) =>
      Object.fromEntries(table.columns.map((column, i) => [column.key, row[i]])));
    const { autosize, ...specification } = figure.specification;
    return { ...specification, title: figure.title, width: 860, data: { values } };
  }
  console.error(`${reportPath}: no figure '${id}'; there are ${known.join(", ")}`);
  process.exit(65);
}

const theme = JSON.parse(readFileSync(new URL("src/report/theme.json", root), "utf8")).light;
const specification = {
  vconcat: ids.map(specificationOf),
  resolve: { scale: { color: "independent", size: "independent" } },
  config: { ...theme, background: "white", font: "sans-serif" },
  padding: 12,
};
const compiled = globalThis.vegaLite.compile(specification).spec;
const view = new globalThis.vega.View(globalThis.vega.parse(compiled), { renderer: "none" });
const svg = await view.toSVG();
const temporary = `${outPath}.tmp${process.pid}`;
writeFileSync(temporary, svg + "\n");
renameSync(temporary, outPath);

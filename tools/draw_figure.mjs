// Draws figures of a report as SVG, with the library of tools/setup.sh. Same input, same bytes.
//   node tools/draw_figure.mjs report.json OUT.svg FIGURE_ID...     these, below each other
//   node tools/draw_figure.mjs report.json --figures FOLDER         contributions.svg: what each part
//       of each model contributes; accuracy.svg: accuracy against extra memory
// FIGURE_ID is the id of a figure in report.json, such as weights-1.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { runInThisContext } from "node:vm";
import { slim } from "./slim_svg.mjs";

const kWidth = 860;
const root = new URL("..", import.meta.url);

function fail(code, text) {
  console.error(text);
  process.exit(code);
}

const [reportPath, outPath, ...ids] = process.argv.slice(2);
if (ids.length === 0) {
  fail(2, "usage: node tools/draw_figure.mjs report.json OUT.svg FIGURE_ID...\n" +
    "       node tools/draw_figure.mjs report.json --figures FOLDER");
}

const modules = process.env.ESPALIER_NPM ?? new URL("build/npm/node_modules", root).pathname;
for (const file of ["vega/build/vega.min.js", "vega-lite/build/vega-lite.min.js"]) {
  try {
    runInThisContext(readFileSync(`${modules}/${file}`, "utf8"));
  } catch (error) {
    fail(66, `${modules}/${file}: ${error.message}; run tools/setup.sh`);
  }
}

function readReport() {
  let report;
  try {
    report = JSON.parse(readFileSync(reportPath, "utf8"));
  } catch (error) {
    fail(error.code === "ENOENT" ? 66 : 65, `${reportPath}: ${error.message}`);
  }
  if (report.schema !== "espalier.report/1") {
    fail(65, `${reportPath}: schema is '${report.schema}', expected 'espalier.report/1'`);
  }
  return report;
}

const report = readReport();
const figures = new Map();
for (const section of report.sections) {
  for (const figure of section.figures) figures.set(figure.id, { figure, tables: section.tables });
}

function specificationOf(id, width) {
  if (!figures.has(id)) {
    fail(65, `${reportPath}: no figure '${id}'; there are ${[...figures.keys()].join(", ")}`);
  }
  const { figure, tables } = figures.get(id);
  const table = tables.find((one) => one.id === figure.table);
  const values = table.rows.map((row) =>
    Object.fromEntries(table.columns.map((column, i) => [column.key, row[i]])));
  const { autosize, ...specification } = figure.specification;
  // Long titles are broken at the colon behind the model's name.
  const title = width < 400 ? figure.title.split(/(?<=:) /) : figure.title;
  return { ...specification, title, width, data: { values } };
}

// Columns of figures, each with those of a column below each other.
async function draw(columns, path) {
  const width = Math.floor(kWidth / columns.length) - 70; // axis and padding
  const theme = JSON.parse(readFileSync(new URL("src/report/theme.json", root), "utf8")).light;
  const specification = {
    hconcat: columns.map((column) => ({ vconcat: column.map((id) => specificationOf(id, width)) })),
    resolve: { scale: { color: "independent", size: "independent", shape: "independent" } },
    config: {
      ...theme,
      legend: { ...theme.legend, columns: columns.length > 1 ? 3 : theme.legend.columns },
      aria: false,
      background: "white", // legible on a dark page too
      font: "sans-serif",
    },
    padding: 12,
  };
  for (const column of specification.hconcat) column.resolve = specification.resolve;
  const compiled = globalThis.vegaLite.compile(specification).spec;
  const view = new globalThis.vega.View(globalThis.vega.parse(compiled), { renderer: "none" });
  const svg = slim(await view.toSVG());
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    writeFileSync(temporary, svg + "\n");
    renameSync(temporary, path);
  } catch (error) {
    fail(73, `${path}: cannot be written: ${error.message}`);
  }
}

const withPrefix = (prefix) => [...figures.keys()].filter((id) => id.startsWith(prefix));

async function drawPictures(folder) {
  const contributions = withPrefix("weights-").map((id) => [id, id.replace("weights-", "biases-")]);
  const accuracy = withPrefix("memory-").map((id) => [id]);
  if (contributions.length + accuracy.length === 0) {
    fail(65, `${reportPath}: has neither contributions nor trainings to draw`);
  }
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    fail(73, `${folder}: cannot be made: ${error.message}`);
  }
  for (const [name, columns] of [["contributions", contributions], ["accuracy", accuracy]]) {
    if (columns.length > 0) {
      await draw(columns, `${folder}/${name}.svg`);
    } else {
      console.error(`${reportPath}: has no figure for ${name}.svg, which is not drawn`);
    }
  }
}

if (outPath === "--figures") {
  await drawPictures(ids[0]);
} else {
  await draw([ids], outPath);
}

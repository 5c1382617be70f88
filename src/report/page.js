// Draws every figure of the page from the specification and the rows that stand in it.
"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  async function draw(figure, rows, themes) {
    const place = figure.querySelector(".plot");
    try {
      const specification = JSON.parse(figure.querySelector(".specification").textContent);
      specification.data = { name: "table", values: rows[place.dataset.table] };
      await vegaEmbed(place, specification, {
        actions: false,
        renderer: "svg",
        config: themes[dark.matches ? "dark" : "light"],
        tooltip: { theme: dark.matches ? "dark" : "light" },
      });
      // The place has role and label of an image; what is inside is drawing, without any inputs.
      place.setAttribute("role", "img");
      place.querySelector("form")?.remove();
      const svg = place.querySelector("svg");
      svg.setAttribute("aria-hidden", "true");
      place.dataset.state = "drawn";
    } catch (error) {
      place.textContent = "This figure could not be drawn (" + error.message + "); its table is below.";
      place.dataset.state = "failed";
    }
  }

  async function drawAll() {
    const rows = read("rows");
    const themes = read("themes");
    for (const figure of document.querySelectorAll("figure")) await draw(figure, rows, themes);
    document.documentElement.dataset.drawn = "yes";
  }

  function copyTable(button) {
    const table = document.getElementById(button.dataset.copies);
    const selection = window.getSelection();
    selection.removeAllRanges();
    const range = document.createRange();
    range.selectNode(table);
    selection.addRange(range);
    const copied = document.execCommand("copy");
    selection.removeAllRanges();
    document.getElementById("said").textContent = copied ? "Table copied" : "The table could not be copied";
  }

  for (const button of document.querySelectorAll("button[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", () => copyTable(button));
  }
  if (typeof vegaEmbed === "function") {
    dark.addEventListener("change", drawAll);
    drawAll();
  }
})();

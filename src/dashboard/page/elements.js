// Elements, tables and texts. Whatever comes from the server is set as text, never as HTML.

/** Makes an element: attributes, `on…` listeners, and children, which are elements or texts. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Writes a text if it has changed: an unchanged page is not laid out again. */
export function setText(element, text) {
  const value = String(text);
  if (element.textContent !== value) element.textContent = value;
}

/**
 * Fills a table. A row is a list of texts or elements; the first is its header. Cells keep their elements where only texts change.
 * @param columns  `{ title, number, wide }`; `wide` columns are left out on small screens
 * @param empty    what it says without rows
 */
export function fillTable(table, columns, rows, empty = "none") {
  if (table.tHead === null) {
    const titles = columns.map((column) => el("th", { scope: "col", class: classOf(column) }, column.title));
    table.append(el("thead", {}, el("tr", {}, ...titles)), el("tbody"));
  }
  const body = table.tBodies[0];
  const shown = rows.length === 0 ? [[el("span", { class: "muted" }, empty)]] : rows;
  table.tHead.hidden = rows.length === 0;
  while (body.rows.length > shown.length) body.lastChild.remove();
  shown.forEach((cells, i) => fillRow(body.rows[i] ?? body.appendChild(el("tr")), columns, cells));
}

/** Fills the cells of a row. */
export function fillRow(row, columns, cells) {
  while (row.cells.length > cells.length) row.lastChild.remove();
  cells.forEach((content, i) => {
    const isHead = i === 0;
    const cell = row.cells[i] ?? row.appendChild(el(isHead ? "th" : "td", isHead ? { scope: "row" } : {}));
    if (cell.className !== classOf(columns[i])) cell.className = classOf(columns[i]);
    if (typeof content === "object") fillCell(cell, content);
    else setText(cell, content);
  });
}

/** A button with the same text stays, with its focus, and does from now on what the new one would. */
function fillCell(cell, content) {
  const old = cell.firstElementChild;
  if (old === null || !old.isEqualNode(content)) cell.replaceChildren(content);
  else if (content.onPress !== undefined) old.onPress = content.onPress;
}

/** The classes of the cells of a column. */
export function classOf({ number = false, wide = false }) {
  return `${number ? "number" : ""}${wide ? " wide" : ""}`.trim();
}

/** A button that looks like a link and does `press`. */
export function linkButton(text, press, attributes = {}) {
  const button = el("button", { type: "button", class: "link id", title: text, ...attributes }, text);
  button.onPress = press;
  button.addEventListener("click", () => button.onPress());
  return button;
}

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 36;

/** A curve of up to 120 values, the newest at the right. The value beside it says the same, so it is hidden from screen readers. */
export function sparkline() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const area = svg.appendChild(document.createElementNS(SVG, "path"));
  const line = svg.appendChild(document.createElementNS(SVG, "polyline"));
  return {
    svg,
    draw(values, least) {
      const top = Math.max(...values, least);
      const points = values.map((value, i) => {
        const x = WIDTH - (values.length - 1 - i) * (WIDTH / 119);
        return `${x.toFixed(1)},${(HEIGHT - 2 - (value / top) * (HEIGHT - 6)).toFixed(1)}`;
      });
      const left = WIDTH - (values.length - 1) * (WIDTH / 119);
      line.setAttribute("points", points.join(" "));
      area.setAttribute("d", `M${left.toFixed(1)},${HEIGHT} L${points.join(" ")} L${WIDTH},${HEIGHT}Z`);
    },
  };
}

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const count = (value) => whole.format(value);
export const rate = (value) => (value < 100 ? short : whole).format(value);

export function bytes(value) {
  if (value < 1000) return `${value} B`;
  const step = Math.min(3, Math.floor(Math.log10(value) / 3));
  return `${short.format(value / 1000 ** step)} ${["", "kB", "MB", "GB"][step]}`;
}

export const ms = (value) =>
  value === null ? "–" : value < 1 ? value.toFixed(3) : value < 10 ? value.toFixed(2) : whole.format(Math.round(value));

/** How long something is, from seconds. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

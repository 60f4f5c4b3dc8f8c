// Two kinds of charts as SVG text, without a library.

export const COLOURS = {
  roomcast: "#0b6e4f",
  "roomcast-immediate": "#7fb069",
  "roomcast-uws": "#00b894",
  "socket.io": "#444444",
  "socket.io-uws": "#999999",
  ws: "#e17055",
  preframed: "#d63031",
  uws: "#6c5ce7",
  "a loop of socket.write": "#0984e3",
};
const FALLBACK = ["#0b6e4f", "#444444", "#e17055", "#6c5ce7", "#fdcb6e", "#0984e3"];
export const colourOf = (name, index) => COLOURS[name] ?? FALLBACK[index % FALLBACK.length];

const escape = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const text = (x, y, words, attributes = "") => `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escape(words)}</text>`;
const line = (x1, y1, x2, y2, attributes) =>
  `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" ${attributes}/>`;
const round = (value) => Math.round(value * 10) / 10;

function page(width, height, title, body) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(16, 24, title, 'font-size="15" font-weight="600"'),
    ...body,
    "</svg>\n",
  ].join("\n");
}

function legend(names, titles, x, y) {
  let at = x;
  return names.flatMap((name, index) => {
    const word = titles[index];
    const parts = [`<circle cx="${at}" cy="${y - 4}" r="5" fill="${colourOf(name, index)}"/>`, text(at + 9, y, word)];
    at += 24 + word.length * 6.6;
    return parts;
  });
}

/**
 * A row for each scenario, a dot for each server, on a logarithmic scale of "times better than the base".
 * @param rows  `{ label, dots: { [server]: ratio } }`
 */
export function dotChart({ title, servers, rows }) {
  const left = 430;
  const width = 1060;
  const top = 84;
  const step = 22;
  const height = top + rows.length * step + 30;
  const ratios = rows.flatMap(({ dots }) => Object.values(dots));
  const low = Math.min(0.5, ...ratios);
  const high = Math.max(2, ...ratios) * 1.1;
  const x = (ratio) => left + ((Math.log(ratio) - Math.log(low)) / (Math.log(high) - Math.log(low))) * (width - left - 24);
  const marks = [0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50, 100].filter((mark) => mark >= low && mark <= high);
  const body = legend(
    servers.map(({ name }) => name),
    servers.map((server) => server.title),
    22,
    50,
  );
  for (const mark of marks) {
    body.push(line(x(mark), top - 10, x(mark), height - 24, mark === 1 ? 'stroke="#444"' : 'stroke="#ddd"'));
    body.push(text(x(mark), height - 8, `${mark}×`, 'text-anchor="middle" fill="#666"'));
  }
  for (const [index, { label, dots }] of rows.entries()) {
    const y = top + index * step + 6;
    body.push(text(left - 14, y + 4, label, 'text-anchor="end"'));
    body.push(line(left, y, width - 16, y, 'stroke="#f0f0f0"'));
    for (const [place, { name }] of servers.entries()) {
      if (dots[name] === undefined) continue;
      const size = name.startsWith("roomcast") ? 6 : 4.5;
      body.push(`<circle cx="${round(x(dots[name]))}" cy="${y}" r="${size}" fill="${colourOf(name, place)}" fill-opacity="0.85"/>`);
    }
  }
  return page(width, height, title, body);
}

/**
 * Small line charts side by side: x logarithmic, or with `isLinear` from zero and without dots; y from zero.
 * @param panels  `{ title, unit, xTitle, isLinear, lines: [{ name, title, points: [[x, y], …] }] }`
 */
export function lineCharts({ title, panels }) {
  const perRow = 3;
  const width = 1080;
  const cell = { width: width / perRow, height: 240 };
  const body = panels.flatMap((panel, index) =>
    drawPanel(panel, (index % perRow) * cell.width, 70 + Math.floor(index / perRow) * cell.height, cell),
  );
  const lines = [...new Map(panels.flatMap((panel) => panel.lines).map((entry) => [entry.name, entry])).values()];
  body.push(
    ...legend(
      lines.map(({ name }) => name),
      lines.map((entry) => entry.title),
      22,
      50,
    ),
  );
  return page(width, 80 + Math.ceil(panels.length / perRow) * cell.height, title, body);
}

function drawPanel({ title, unit, xTitle, isLinear = false, lines }, left, top, cell) {
  const [x0, x1, y0, y1] = [left + 56, left + cell.width - 18, top + cell.height - 52, top + 26];
  const points = lines.flatMap((entry) => entry.points);
  const met = [...new Set(points.map(([value]) => value))].sort((a, b) => a - b);
  const xs = isLinear ? [0, 1, 2, 3, 4].map((part) => (met.at(-1) * part) / 4) : met;
  const high = Math.max(...points.map(([, value]) => value)) * 1.1 || 1;
  const span = Math.log(xs.at(-1)) - Math.log(xs[0]) || 1;
  const place = (value) => (isLinear ? value / xs.at(-1) : (Math.log(value) - Math.log(xs[0])) / span);
  const x = (value) => x0 + place(value) * (x1 - x0);
  const y = (value) => y0 - (value / high) * (y0 - y1);
  const [name, ...conditions] = title.split(", ");
  const body = [text(left + 16, top + 2, `${name}, ${unit}`, 'font-weight="600"'), text(left + 16, top + 16, conditions.join(", "))];
  for (const value of [0, high / 2.2, high / 1.1]) {
    body.push(
      line(x0, y(value), x1, y(value), 'stroke="#e5e5e5"'),
      text(x0 - 6, y(value) + 4, short(value), 'text-anchor="end" fill="#666"'),
    );
  }
  for (const value of xs) body.push(text(x(value), y0 + 16, short(value), 'text-anchor="middle" fill="#666" font-size="10"'));
  body.push(text((x0 + x1) / 2, y0 + 32, xTitle, 'text-anchor="middle" fill="#666"'));
  for (const [index, { name: server, points: own }] of lines.entries()) {
    const colour = colourOf(server, index);
    body.push(
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${own.map(([px, py]) => `${round(x(px))},${round(y(py))}`).join(" ")}"/>`,
    );
    if (!isLinear) for (const [px, py] of own) body.push(`<circle cx="${round(x(px))}" cy="${round(y(py))}" r="3" fill="${colour}"/>`);
  }
  return body;
}

function short(value) {
  if (value >= 10_000) return `${Math.round(value / 1000)}k`;
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toPrecision(2);
}

// A list of any length, of which only the lines in sight exist: the server gives windows of it.
import { classOf, count, el, fillRow, setText } from "./elements.js";

const ROW_PX = 40;
const MARGIN = 25;
const TYPING_MS = 200;

/** A list with a search, a choice of the namespace and one of the order. */
export class WindowList {
  /**
   * @param section  gets the list
   * @param kind     `{ path, name, columns, sorts, hint, row(line), keyOf(line), onSearch(search, namespace) }`
   * @param ask      fetches JSON from a path
   */
  constructor(section, kind, ask) {
    this.kind = kind;
    this.ask = ask;
    this.window = { total: 0, offset: 0, rows: [] };
    this.rows = new Map();
    this.isAsking = false;
    this.isStale = false;
    this.build(section);
  }

  build(section) {
    const { kind } = this;
    const restart = () => this.restart();
    let typing = 0;
    const onInput = () => {
      clearTimeout(typing);
      typing = setTimeout(restart, TYPING_MS);
    };
    this.search = el("input", { type: "search", placeholder: kind.hint, oninput: onInput, autocomplete: "off", spellcheck: "false" });
    this.namespace = el("select", { onchange: restart }, el("option", { value: "" }, "all"));
    this.sort = el("select", { onchange: restart }, ...kind.sorts.map(([value, title]) => el("option", { value }, title)));
    this.total = el("p", { class: "total" });
    this.found = el("p", { class: "hidden", role: "status" });
    this.top = gap();
    this.bottom = gap();
    this.body = el("tbody");
    const titles = kind.columns.map((column) =>
      el("th", { scope: "col", class: `${classOf(column)} ${column.size ?? ""}`.trim() }, column.title),
    );
    this.table = el("table", {}, el("caption", {}, kind.name), el("thead", {}, el("tr", {}, ...titles)), this.top, this.body, this.bottom);
    this.view = el("div", { class: "window", tabindex: "0", role: "group", "aria-label": kind.name }, this.table);
    this.view.addEventListener("scroll", () => this.onScroll(), { passive: true });
    this.extra = el("div");
    section.append(
      el(
        "div",
        { class: "filters", role: "search" },
        el("label", { class: "search" }, "Search", this.search),
        el("label", {}, "Namespace", this.namespace),
        el("label", {}, "Order", this.sort),
        this.total,
      ),
      this.found,
      this.extra,
      this.view,
    );
    new ResizeObserver(() => this.onScroll()).observe(this.view);
  }

  /** Keeps the choice of namespaces true. */
  setNamespaces(names) {
    const shown = [...this.namespace.options].slice(1).map(({ value }) => value);
    if (shown.join("\n") === names.join("\n")) return;
    const chosen = this.namespace.value;
    while (this.namespace.options.length > 1) this.namespace.lastChild.remove();
    this.namespace.append(...names.map((name) => el("option", { value: name }, name)));
    if (names.includes(chosen)) this.namespace.value = chosen;
  }

  /** Shows another search, as if it was typed. */
  searchFor(text, namespace) {
    this.search.value = text;
    this.namespace.value = namespace;
    this.restart();
  }

  restart() {
    this.view.scrollTop = 0;
    this.isNewSearch = true;
    void this.load();
    this.kind.onSearch?.(this.search.value, this.namespace.value);
  }

  get isVisible() {
    return this.view.offsetParent !== null;
  }

  onScroll() {
    if (this.isPlanned || !this.isVisible) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      const { first, last } = this.inSight();
      const { offset, rows, total } = this.window;
      if (first < offset || Math.min(last, total) > offset + rows.length) void this.load();
    });
  }

  inSight() {
    const first = Math.floor(this.view.scrollTop / ROW_PX);
    return { first, last: first + Math.ceil(this.view.clientHeight / ROW_PX) };
  }

  /** Fetches what is in sight; one request at a time, and one more if something has changed meanwhile. */
  async load() {
    if (this.isAsking) return void (this.isStale = true);
    this.isAsking = true;
    const { first, last } = this.inSight();
    const offset = Math.max(0, first - MARGIN);
    const query = new URLSearchParams({
      namespace: this.namespace.value,
      search: this.search.value,
      sort: this.sort.value,
      offset,
      limit: Math.min(200, last + MARGIN - offset),
    });
    try {
      const found = await this.ask(`${this.kind.path}?${query}`);
      if (found !== null) this.show(found);
    } finally {
      this.isAsking = false;
      if (this.isStale) {
        this.isStale = false;
        void this.load();
      } else this.onScroll();
    }
  }

  show(found) {
    this.window = found;
    const { total, offset, rows } = found;
    setText(this.total, `${count(total)} ${this.kind.name.toLowerCase()}`);
    if (this.isNewSearch) setText(this.found, `${count(total)} found`);
    this.isNewSearch = false;
    this.table.setAttribute("aria-rowcount", total + 1);
    this.top.rows[0].cells[0].style.height = `${offset * ROW_PX}px`;
    this.bottom.rows[0].cells[0].style.height = `${Math.max(0, total - offset - rows.length) * ROW_PX}px`;
    this.showRows(rows, offset);
  }

  /** A line keeps its row, and with it the focus. */
  showRows(lines, offset) {
    const { kind } = this;
    const focused = document.activeElement;
    const rows = new Map();
    lines.forEach((line, i) => {
      const key = kind.keyOf(line);
      const row = this.rows.get(key) ?? el("tr");
      row.setAttribute("aria-rowindex", offset + i + 2);
      fillRow(row, kind.columns, kind.row(line));
      rows.set(key, row);
    });
    this.rows = rows;
    const wanted = [...rows.values()];
    const { children } = this.body;
    if (wanted.length === children.length && wanted.every((row, i) => row === children[i])) return;
    this.body.replaceChildren(...wanted);
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  }
}

/** Stands for the lines above or below. */
function gap() {
  return el("tbody", { "aria-hidden": "true" }, el("tr", { class: "gap" }, el("td")));
}

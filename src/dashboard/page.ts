// The files of the page. The build puts their texts in place of the calls: no file is looked for when a server runs, also not in one that was bundled.

/** Replaced by the text of the file when this module is compiled (`scripts/bundle.mjs`). */
declare function textOfFile(path: string): string;

const HTML = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";

/** A file and what it is served as. */
export interface PageFile {
  readonly type: string;
  readonly text: string;
}

/** What answers `GET` at the mount path. */
export const INDEX: PageFile = { type: HTML, text: textOfFile("page/index.html") };

/** What answers instead while nobody has logged in. `MESSAGE` stands where the answer to the last attempt goes. */
export const LOGIN: PageFile = { type: HTML, text: textOfFile("page/login.html") };

/** Files below the mount path. They have no data. */
export const ASSETS: ReadonlyMap<string, PageFile> = new Map([
  ["style.css", { type: "text/css; charset=utf-8", text: textOfFile("page/style.css") }],
  ["main.js", { type: SCRIPT, text: textOfFile("page/main.js") }],
  ["elements.js", { type: SCRIPT, text: textOfFile("page/elements.js") }],
  ["overview.js", { type: SCRIPT, text: textOfFile("page/overview.js") }],
  ["window-list.js", { type: SCRIPT, text: textOfFile("page/window-list.js") }],
  ["details.js", { type: SCRIPT, text: textOfFile("page/details.js") }],
]);

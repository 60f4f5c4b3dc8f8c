// `roomcast doctor`: finds what is wrong between clients and a server.
import { diagnose, type Diagnosis } from "./diagnosis";
import {
  coloured,
  headersOf,
  jsonOf,
  namespaceOf,
  numberOf,
  onlyOne,
  pathOf,
  print,
  printable,
  printJson,
  progress,
  readArgs,
  shownUrl,
  urlOf,
  ArgumentError,
  type Command,
  type ExitCode,
} from "./command";
import type { DoctorOptions } from "./probe";

const HELP = `Usage: roomcast doctor URL [options]

Connects as clients do, over long-polling and WebSocket, and says what is wrong on the way to the server, why, and which line fixes it.
It sends no events. URL is the address that clients use, with a namespace as its path if you like.

Options:
      --path PATH         of the server; default /socket.io/
      --origin ORIGIN     a page's origin, such as https://example.com: checks CORS and cookies as a browser would
      --auth JSON         what the middlewares of the namespace need
      --header "N: V"     of every request; may be repeated
      --eio NUMBER        4, or 3 for clients of socket.io 2; default 4
      --wait SECONDS      how long to watch idle connections; default: until the server's next ping, at most 3600; 0: not at all
      --timeout SECONDS   for each answer; default 10
      --insecure          does not check certificates
      --json              prints one object: { url, facts, findings: [{ id, found, cause, fix }] }
  -h, --help

Examples:
  npx roomcast doctor http://localhost:3000
  npx roomcast doctor https://chat.example.com/room --origin https://example.com
  npx roomcast doctor https://chat.example.com --path /live/ --auth '{"token":"x"}' --json

Exit codes: 0 nothing found, 1 something found, 2 wrong arguments.
`;

export const doctor: Command = { help: HELP, run };

async function run(args: string[]): Promise<ExitCode> {
  const { values, positionals } = readArgs(args, {
    path: { type: "string", default: "/socket.io/" },
    origin: { type: "string" },
    auth: { type: "string" },
    header: { type: "string", multiple: true, default: [] },
    eio: { type: "string", default: "4" },
    wait: { type: "string" },
    timeout: { type: "string", default: "10" },
    insecure: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  });
  const url = urlOf("doctor", onlyOne("doctor", "URL", positionals));
  if (values.eio !== "3" && values.eio !== "4") throw new ArgumentError(`--eio: expected 3 or 4, met ${JSON.stringify(values.eio)}`);
  if (values.origin !== undefined && !(/^https?:\/\/[^/]+$/.test(values.origin) && URL.canParse(values.origin)))
    throw new ArgumentError(`--origin: expected an origin like https://example.com, met ${JSON.stringify(values.origin)}`);
  const options: DoctorOptions = {
    url,
    path: pathOf(values.path),
    namespace: namespaceOf("doctor", url),
    origin: values.origin ?? null,
    auth: values.auth === undefined ? undefined : jsonOf("--auth", values.auth),
    revision: Number(values.eio),
    waitMs: values.wait === undefined ? null : numberOf("--wait", values.wait, 0, 3_600) * 1_000,
    settings: {
      headers: headersOf(values.header),
      insecure: values.insecure,
      timeoutMs: numberOf("--timeout", values.timeout, 0.1, 600) * 1_000,
    },
  };
  const diagnosis = await diagnose(options, progress);
  progress("");
  if (values.json) printJson({ url: shownUrl(url), ...diagnosis }, 2);
  else show(url, diagnosis);
  return diagnosis.findings.length === 0 ? 0 : 1;
}

function show(url: URL, { facts, findings }: Diagnosis): void {
  print(coloured(shownUrl(url), "bold"));
  for (const [name, value] of Object.entries(facts)) print(`  ${name.padEnd(12)} ${printable(value)}`);
  for (const { id, found, cause, fix } of findings) {
    print(`\n${coloured(`✖ ${id}`, "red")}: ${printable(found)}`);
    print(`  ${cause}`);
    for (const line of fix) print(`    ${coloured(printable(line), "green")}`);
  }
  print(findings.length === 0 ? `\n${coloured("✔ nothing found", "green")}` : `\n${findings.length} found`);
}

// `roomcast tap`: connects to a server, prints what it sends, and sends what is typed.
import { createInterface } from "node:readline";
import { inspect } from "node:util";
import { PacketType, type Packet } from "../protocol/packet";
import {
  coloured,
  headersOf,
  integerOf,
  jsonOf,
  lineOf,
  namespaceOf,
  numberOf,
  onlyOne,
  pathOf,
  print,
  printable,
  printJson,
  readArgs,
  transportOf,
  urlOf,
  type Command,
  type ExitCode,
  type Line,
} from "./command";
import { WireClient } from "./wire-client";

const HELP = `Usage: roomcast tap URL [options]

Connects to a server, prints every event, and sends what you type. The path of URL is the namespace.

  join "tea"        sends the event "join" with the value "tea"; values are JSON
  ?history {"n":3}  sends an event that asks for an acknowledgement, and prints the answer
  !0 "yes" 1        answers the event #0 of the server, which asked for an acknowledgement

Options:
      --emit LINE      sends such a line once connected; may be repeated
      --answer JSON    answers every event that asks for an acknowledgement with this value
      --count NUMBER   ends after so many events
      --auth JSON      for the middlewares of the namespace
      --header "N: V"  of the handshake; may be repeated
      --path PATH      of the server; default /socket.io/
      --transport NAME  websocket (default) or polling
      --timeout SECONDS  for the connection; default 10
      --insecure       does not check certificates
      --json           prints one JSON object per line
  -h, --help

Examples:
  npx roomcast tap http://localhost:3000/chat --emit 'join "tea"'
  npx roomcast tap https://chat.example.com --auth '{"token":"x"}' --json --count 1

Exit codes: 0 ended here, 1 not connected, refused or disconnected, 2 wrong arguments.
`;

export const tap: Command = { help: HELP, run };

async function run(args: string[]): Promise<ExitCode> {
  const { values, positionals } = readArgs(args, {
    emit: { type: "string", multiple: true, default: [] },
    answer: { type: "string" },
    count: { type: "string" },
    auth: { type: "string" },
    header: { type: "string", multiple: true, default: [] },
    path: { type: "string", default: "/socket.io/" },
    transport: { type: "string", default: "websocket" },
    timeout: { type: "string", default: "10" },
    insecure: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  });
  const url = urlOf("tap", onlyOne("tap", "URL", positionals));
  const first = values.emit.map((text) => lineOf(text, "--emit"));
  const answer = values.answer === undefined ? undefined : jsonOf("--answer", values.answer);
  let left = values.count === undefined ? Infinity : integerOf("--count", values.count, 1, 1e9);
  const client = new WireClient({
    url,
    path: pathOf(values.path),
    namespace: namespaceOf("tap", url),
    transport: transportOf(values.transport),
    auth: values.auth === undefined ? undefined : jsonOf("--auth", values.auth),
    headers: headersOf(values.header),
    insecure: values.insecure,
    timeoutMs: numberOf("--timeout", values.timeout, 0.1, 3_600) * 1_000,
  });

  const show = (sign: string, kind: string, id: number | undefined, data: unknown): void => {
    if (values.json) return printJson({ at: new Date().toISOString(), kind, ...(id === undefined ? {} : { id }), data: asJson(data) });
    const text = Array.isArray(data) ? data.map(shown).join(" ") : shown(data);
    print(
      `${coloured(new Date().toISOString().slice(11, 23), "dim")} ${sign} ${kind === "event" ? "" : `${kind} `}${id === undefined ? "" : `#${id} `}${text}`,
    );
  };
  const send = (line: Line): void => {
    if (line.kind === "answer") {
      client.answer(line.id, line.data);
      return show("→", "answer", line.id, line.data);
    }
    if (line.kind === "event") {
      client.emitEvent(line.data);
      return show("→", "event", undefined, line.data);
    }
    show("→", "event", client.ask(line.data) ?? undefined, line.data);
  };

  return new Promise((resolve) => {
    let isJoined = false;
    let code: number | null = null;
    const finish = (exitCode: number): void => {
      code ??= exitCode;
      void client.close();
    };
    client.on("connect", (sid) => {
      isJoined = true;
      show("·", "connected", undefined, [sid]);
      first.forEach(send);
      input.resume();
    });
    client.on("refused", (data) => show("✖", "refused", undefined, [data]));
    client.once("ignored", ({ type, nsp }: Packet) => {
      const what = printable(`${PacketType[type as PacketType]} of the namespace ${JSON.stringify(nsp)}`);
      process.stderr.write(`roomcast: ignored ${what}, and what follows of its kind: it is not this client's\n`);
    });
    client.on("packet", (packet: Packet) => {
      const data = packet.data as unknown[];
      if (packet.type === PacketType.ACK || packet.type === PacketType.BINARY_ACK) return show("←", "answer", packet.id, data);
      show("←", "event", packet.id, data);
      if (packet.id !== undefined && answer !== undefined) send({ kind: "answer", id: packet.id, data: [answer] });
      if (--left <= 0) finish(0);
    });
    client.on("close", (reason) => {
      input.close();
      if (code === null) {
        code = 1;
        if (values.json) show("✖", "closed", undefined, [reason]);
        else process.stderr.write(`roomcast: ${isJoined ? "disconnected" : "not connected"}: ${printable(reason)}\n`);
      }
      const exitCode = code;
      void client.close().then(() => resolve(exitCode));
    });
    const input = createInterface({ input: process.stdin });
    input.pause();
    input.on("line", (text) => {
      if (text.trim() === "") return;
      try {
        send(lineOf(text, "the line"));
      } catch (error) {
        process.stderr.write(`roomcast: ${(error as Error).message}\n`);
      }
    });
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => finish(0));
  });
}

function shown(value: unknown): string {
  if (Buffer.isBuffer(value)) return `<${value.length} bytes ${value.subarray(0, 16).toString("hex")}${value.length > 16 ? "…" : ""}>`;
  return printable(typeof value === "string" ? JSON.stringify(value) : inspect(value, { depth: 6, breakLength: Infinity }));
}

function asJson(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return { bytes: value.toString("base64") };
  if (Array.isArray(value)) return value.map(asJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, asJson(each)]));
}

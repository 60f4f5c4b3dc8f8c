/** Random programs: what a server is told to do, and what its clients do. */
import fc from "fast-check";
import { ACTS, VALUE_NAMES } from "./acts.js";

const room = fc.constantFrom("r1", "r2", "r3");
const rooms = fc.array(room, { maxLength: 3 });
const index = fc.nat(7);

const event = fc.constantFrom("e1", "e1", "e2", "message", "toString", "__proto__", "", "nobody listens");
const reserved = fc.constantFrom("connect", "connection", "disconnect", "disconnecting", "newListener", "error");
const json = fc.constantFrom(0, 1.5, "text", "ü€😀\u2028", null, true, [], {}, { a: [1, { b: "c" }] }, "", "refuse");
const value = fc.oneof({ weight: 8, arbitrary: json }, { weight: 3, arbitrary: fc.constantFrom(...VALUE_NAMES) });

const modifier = fc.oneof(
  fc.tuple(fc.constantFrom("to", "in", "except"), fc.oneof(room, rooms)),
  fc.tuple(fc.constantFrom("volatile", "local", "broadcast", "timeout", "compress"), fc.constant(null)),
  fc.tuple(fc.constant("toSocket"), index),
);

const often = ["emit", "emit", "emit", "ask", "join", "join", "look", "steerFetched"];

/** Something that a program on the server does. */
const serverCommand = fc.record({
  by: fc.constant("server"),
  node: index,
  from: fc.constantFrom("io", "namespace", "socket", "self", "self"),
  modifiers: fc.array(modifier, { maxLength: 3 }),
  act: fc.constantFrom(...often, ...ACTS),
  socket: index,
  namespace: fc.constantFrom("/", "/a"),
  rooms,
  ev: fc.oneof({ weight: 12, arbitrary: event }, { weight: 1, arbitrary: reserved }),
  args: fc.array(value, { maxLength: 3 }),
  close: fc.boolean(),
});

const clientActs = [
  ...["open", "open", "join", "join", "join", "join", "part", "say", "say", "say", "say", "sayBytes", "answer", "answer"],
  ...["raw", "upgrade", "upgrade", "cut", "close", "comeBack"],
];

/** Odd packets that both take in the same way. */
const oddPacket = fc.constantFrom(
  ...["40/a?x=1,", "40/a", "40/dyn-1?x,{}", "40[]", "40/,", "41", "41/nope,", "44{}", "4x", "3", "6", "45"],
  ...[
    "42[]",
    "42{}",
    "42[1]",
    '42["disconnect"]',
    '42["e1"]x',
    '42/nope,["e1"]',
    "420[]",
    "43[1]",
    "430[1]",
    "4399[]",
    '450-["e1"]',
    "460-0[]",
  ],
);

/** Something that a client does. */
const clientCommand = fc.record({
  by: fc.constant("client"),
  act: fc.constantFrom(...clientActs),
  eio: fc.constantFrom(4, 4, 4, 3),
  polls: fc.boolean(),
  client: index,
  namespace: fc.constantFrom("/", "/", "/", "/a", "/dyn-1", "/nope"),
  ev: event,
  args: fc.array(json, { maxLength: 2 }),
  asks: fc.boolean(),
  auth: fc.constantFrom(undefined, {}, { token: "yes" }, { token: "no" }),
  packet: oddPacket,
});

const listener = fc.array(serverCommand, { maxLength: 2 });

const leavingRooms = ["join", "leave", "socketsJoin", "socketsLeave", "steerFetched"];
const ending = ["disconnect", "disconnectSockets", "closeConnection"];
/**
 * Listeners at a socket's end disconnect nobody, since the original would run them again for the same socket, and again;
 * nor do they change rooms, which the original is still going through.
 */
const lastListener = fc.array(
  serverCommand.filter((command) => ![...leavingRooms, ...ending].includes(command.act)),
  { maxLength: 2 },
);

const together = fc.record({
  by: fc.constant("both"),
  commands: fc.array(fc.oneof(serverCommand, clientCommand), { maxLength: 6 }),
});

/** Two clients in the main namespace: one with a WebSocket, one with long-polling. */
const beginning = [
  { by: "client", act: "open", polls: false },
  { by: "client", act: "open", polls: true },
  { by: "client", act: "join", client: 0, namespace: "/" },
  { by: "client", act: "join", client: 1, namespace: "/" },
];

/**
 * A program: options of the server, what its listeners do, and what happens from outside, step by step.
 *
 * What the original does wrong, or by chance, stays out; each place says what and why.
 */
export const programs = fc.record({
  nodes: fc.constantFrom(1, 1, 1, 2),
  parser: fc.constantFrom("default", "default", "msgpack", "own msgpack"),
  recovery: fc.boolean(),
  cleanup: fc.boolean(),
  flush: fc.constantFrom("tick", "immediate"),
  refuses: fc.boolean(),
  watchesRooms: fc.boolean(),
  observes: fc.boolean(),
  listeners: fc.record({
    connection: listener,
    e1: listener,
    e2: listener,
    message: listener,
    disconnecting: lastListener,
    disconnect: lastListener,
  }),
  commands: fc
    .array(fc.oneof({ weight: 3, arbitrary: serverCommand }, { weight: 3, arbitrary: clientCommand }, { weight: 1, arbitrary: together }), {
      minLength: 3,
      maxLength: 40,
    })
    .map((commands) => [...beginning, ...commands]),
});

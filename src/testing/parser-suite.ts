// What the option `parser` has to do, whatever its bytes look like.
import { deepEqual, doesNotThrow, equal, ok, throws } from "node:assert/strict";
import { PacketType, type Packet } from "../protocol/packet";
import { declareFor, type TestFunction } from "./suite";

/** What a suite for parsers needs. */
export interface ParserSuite {
  /** Of the parser, for the titles. */
  name: string;
  /** `test` of node:test, Vitest or Jest. */
  test: TestFunction;
  /** The value of the option `parser`: `{ Encoder, Decoder }`. */
  parser: { Encoder: new () => any; Decoder: new () => any };
}

type Encoded = string | Uint8Array;

const bytes = Buffer.from([0, 1, 2, 250]);
/** Packets of every type, with what may be hard about each. */
const packets: readonly Packet[] = [
  { type: PacketType.CONNECT, nsp: "/", data: undefined },
  { type: PacketType.CONNECT, nsp: "/chat", data: { token: "a,b" } },
  { type: PacketType.DISCONNECT, nsp: "/chat", data: undefined },
  { type: PacketType.EVENT, nsp: "/", data: ["event"] },
  { type: PacketType.EVENT, nsp: "/", id: 0, data: ["event", 1, -1.5, null, true, "é漢😀", "", [], {}, { deep: [{ n: 1 }] }] },
  { type: PacketType.EVENT, nsp: "/a-b_c/1", id: 123_456, data: ["event", '2["not a packet"]'] },
  { type: PacketType.ACK, nsp: "/chat", id: 7, data: ["answer", { ok: true }] },
  { type: PacketType.ACK, nsp: "/", id: 0, data: [] },
  { type: PacketType.CONNECT_ERROR, nsp: "/chat", data: { message: "no", data: { code: 1 } } },
  { type: PacketType.EVENT, nsp: "/", data: ["bytes", bytes, { deep: [Buffer.alloc(0), { again: bytes }] }, "behind"] },
  { type: PacketType.ACK, nsp: "/chat", id: 1, data: [Buffer.alloc(70_000, 7)] },
];
const garbage: readonly Encoded[] = [
  "",
  "x",
  "9",
  "2",
  "2{",
  '2["a"',
  "99999999",
  Buffer.from([0xff, 0xff]),
  Buffer.alloc(0),
  Buffer.from("x"),
];

/**
 * Declares tests for a parser: that it carries every packet of a server, tells where one ends, and survives what makes no sense.
 * @example testParser({ name: "my parser", test, parser: myParser });
 */
export function testParser({ name, test, parser }: ParserSuite): void {
  const declare = declareFor(test, name);
  const encode = (packet: Packet): Encoded[] => new parser.Encoder().encode({ ...packet }) as Encoded[];
  const decode = (parts: readonly Encoded[], decoder: any = new parser.Decoder()): any[] => {
    const decoded: any[] = [];
    const listener = (packet: unknown): unknown => decoded.push(packet);
    decoder.on("decoded", listener);
    for (const part of parts) decoder.add(part);
    decoder.off?.("decoded", listener);
    return decoded;
  };

  for (const packet of packets) {
    declare(`carries ${nameOf(packet.type)} ${packet.nsp} ${shown(packet)}`, () => {
      const decoded = decode(encode(packet));
      equal(decoded.length, 1, "expected one packet");
      const [{ type, nsp, id, data }] = decoded;
      equal(plainType(type), plainType(packet.type));
      deepEqual([nsp, id ?? undefined, plain(data)], [packet.nsp, packet.id, plain(packet.data)]);
    });
  }

  declare("gives texts and bytes, which engines can send", () => {
    for (const packet of packets) {
      const parts = encode(packet);
      ok(Array.isArray(parts) && parts.length > 0, "encode: expected an array");
      for (const part of parts) ok(typeof part === "string" || ArrayBuffer.isView(part), `encode: met ${typeof part}`);
    }
  });

  declare("does not change what it encodes", () => {
    const data = ["event", { raw: bytes, deep: [bytes] }];
    const before = plain(data);
    encode({ type: PacketType.EVENT, nsp: "/", data });
    deepEqual(plain(data), before);
  });

  declare("tells packets that follow one another apart", () => {
    const decoded = decode(packets.flatMap(encode));
    deepEqual(
      decoded.map(({ nsp, data }) => [nsp, plain(data)]),
      packets.map(({ nsp, data }) => [nsp, plain(data)]),
    );
  });

  declare("throws for what makes no sense, and decodes with a new decoder what follows", () => {
    for (const part of garbage) {
      const decoder = new parser.Decoder();
      let decoded: any[] = [];
      try {
        decoded = decode([part], decoder);
      } catch (error) {
        ok(error instanceof Error || (error as Error)?.message !== undefined, "expected an error");
      }
      for (const packet of decoded) ok(isPlausible(packet), `${shown({ data: part })} was decoded as ${shown({ data: packet })}`);
      doesNotThrow(() => decoder.destroy());
    }
    equal(decode(encode(packets[4])).length, 1);
  });

  declare("refuses packets of a type that does not exist", () => {
    const parts = encode({ type: PacketType.EVENT, nsp: "/", data: ["event"] });
    if (typeof parts[0] !== "string") return; // only texts have a type that can be replaced
    throws(() => decode([`8${String(parts[0]).slice(1)}`]));
  });

  declare("forgets what it waits for when it is destroyed", () => {
    const decoder = new parser.Decoder();
    const [first, ...rest] = encode(packets[9]);
    if (rest.length > 0) deepEqual(decode([first], decoder), []);
    doesNotThrow(() => decoder.destroy());
    doesNotThrow(() => decoder.destroy());
  });
}

function nameOf(type: number): string {
  return Object.entries(PacketType).find(([, value]) => value === type)![0];
}

/** Events and acknowledgements with bytes have types of their own in some parsers. */
function plainType(type: number): number {
  return type === 5 ? PacketType.EVENT : type === 6 ? PacketType.ACK : type;
}

/** A packet that an application may get without harm. */
function isPlausible({ type, nsp, data }: any): boolean {
  if (typeof nsp !== "string" || !Number.isInteger(type) || type < 0 || type > 6) return false;
  const needsArray = [2, 3, 5, 6].includes(type);
  return !needsArray || Array.isArray(data);
}

/** Bytes in one form, whatever view a parser gives. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return `bytes ${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}`;
  if (value instanceof ArrayBuffer) return `bytes ${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  return value ?? null;
}

function shown({ data }: { data?: unknown }): string {
  return (JSON.stringify(plain(data)) ?? "nothing").slice(0, 40);
}

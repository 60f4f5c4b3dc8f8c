// Finds out why a packet cannot be encoded and which value is the cause (ROB-420). Runs only after an encoder has failed.
import { Blob } from "node:buffer";
import { EncodingError } from "../errors";
import { isBinary } from "./engine-packet";
import { MAX_SEARCH_DEPTH, PacketType, type Packet } from "./packet";

const TEXT_LENGTH_MAX = 200;
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/**
 * Makes the error for a packet that cannot be encoded: it names the packet, the reason, and the path of the value.
 * @param cause  what the encoder threw
 */
export function encodingError(packet: Packet, cause: unknown): EncodingError {
  let reason = findUnencodable(packet);
  reason ??= cause instanceof Error ? cause.message.split("\n", 1)[0] : "an encoder failed";
  return new EncodingError("RC_ERR_ENCODING", `cannot encode ${titleOf(packet)}: ${reason}`, cause);
}

/** Returns the reason and the path of the first value that cannot be encoded; null if none is found. */
export function findUnencodable(packet: Packet): string | null {
  try {
    for (const [path, value] of valuesOf(packet)) {
      const reason = new Search(path).reasonIn(value);
      if (reason !== null) return reason;
    }
  } catch {
    // A proxy that throws, or a stack overflow: the caller uses the message of the encoder.
  }
  return null;
}

/** Names a packet in the terms of the API. */
export function titleOf({ type, data }: Packet): string {
  switch (type) {
    case PacketType.EVENT:
      return `event ${shorten(JSON.stringify(data?.[0]) ?? typeof data?.[0])}`;
    case PacketType.ACK:
      return "acknowledgement";
    case PacketType.CONNECT_ERROR:
      return "refusal";
    default:
      return "packet";
  }
}

/** The arguments of the program with their names: `data` if there is one, `data[0]`, `data[1]` … if there are several. */
function valuesOf({ type, data }: Packet): [path: string, value: unknown][] {
  if (type === PacketType.CONNECT_ERROR) return [["data", data?.data ?? data]];
  if (!Array.isArray(data)) return [["data", data]];
  const values: unknown[] = type === PacketType.EVENT ? data.slice(1) : data;
  return values.length === 1 ? [["data", values[0]]] : values.map((value, index) => [`data[${index}]`, value]);
}

/** A depth-first search for the first value that cannot be encoded. */
class Search {
  private readonly root: string;
  private readonly keys: (string | number)[] = [];
  /** Objects that contain the current one: meeting one of them again means a cycle. */
  private readonly ancestors = new Set<object>();
  /** Objects already searched without a finding: a value may be referenced many times. */
  private readonly searched = new Set<object>();

  constructor(root: string) {
    this.root = root;
  }

  reasonIn(value: unknown): string | null {
    if (typeof value === "bigint") {
      const isConvertible = typeof (value as { toJSON?: unknown }).toJSON === "function";
      return isConvertible ? null : `Do not know how to serialize a BigInt at ${this.path}`;
    }
    if (typeof value !== "object" || value === null || isBinary(value) || value instanceof Date || value instanceof Blob) return null;
    if (this.ancestors.has(value)) return `circular at ${this.path}`;
    if (this.searched.has(value)) return null;
    if (this.ancestors.size > MAX_SEARCH_DEPTH) return `nested deeper than ${MAX_SEARCH_DEPTH} levels at ${this.path}`;

    this.ancestors.add(value);
    const reason = this.reasonInMembers(value);
    this.ancestors.delete(value);
    this.searched.add(value);
    return reason;
  }

  private reasonInMembers(value: object): string | null {
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === "function") {
      let converted: unknown;
      try {
        converted = toJSON.call(value);
      } catch {
        return `toJSON() failed at ${this.path}`;
      }
      return converted === value ? this.reasonInOwn(value) : this.reasonIn(converted);
    }
    return this.reasonInOwn(value);
  }

  private reasonInOwn(value: object): string | null {
    const keys = Array.isArray(value) ? value.keys() : Object.keys(value);
    for (const key of keys) {
      this.keys.push(key);
      let member: unknown;
      try {
        member = (value as Record<string | number, unknown>)[key];
      } catch {
        return `a getter failed at ${this.path}`;
      }
      const reason = this.reasonIn(member);
      if (reason !== null) return reason;
      this.keys.pop();
    }
    return null;
  }

  private get path(): string {
    let path = this.root;
    for (const key of this.keys) {
      if (typeof key === "number") path += `[${key}]`;
      else path += IDENTIFIER.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
      if (path.length > TEXT_LENGTH_MAX) break;
    }
    return shorten(path);
  }
}

function shorten(text: string): string {
  return text.length > TEXT_LENGTH_MAX ? `${text.slice(0, TEXT_LENGTH_MAX)}…` : text;
}

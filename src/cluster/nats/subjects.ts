// The subjects of this package on NATS.
import { createHash } from "node:crypto";
import type { ServerId } from "../messages";

/*
 *     <key>.pulse                 pulses of all nodes
 *     <key>.node.<uid>            to one node: responses, and what is sent to it directly
 *     <key>.nobody.<uid>.<n>      from NATS to one node: nobody has the subject of its message n
 *     <key>.all.<namespace>       to all nodes of a namespace
 *     <key>.room.<namespace>.<room>   broadcasts to one room, to the nodes that have it
 *
 * With a log in JetStream, in a stream of the name <key>, with `+` for dots:
 *
 *     <key>.log.<namespace>       instead of `all` and `room`: stored, and sent on to `all` with its position
 *     <key>.session.<pid>         the session of a disconnected socket
 *     <key>.stored.<uid>.<namespace>.<n>   from JetStream to one node: its message n is stored
 *     <key>.reply.<uid>.<n>       from JetStream to one node: the reply to its request n
 *     <key>.fetched.<uid>.<n>     from JetStream to one node: messages that it has asked for
 *
 * The first slash of a namespace is left out. Names of other characters, and long ones, are encoded: `tokenOf`.
 */

const PLAIN = /^[\w-]{1,80}$/;
const ENCODED_BYTES_MAX = 120;
const UID = /^[0-9a-f]{16}$/;

/** A name as one token: itself; or `=` and its UTF-8 bytes in base64url; or, if it is long, `#` and their SHA-256 in base64url. */
function tokenOf(name: string): string {
  if (PLAIN.test(name)) return name;
  const bytes = Buffer.from(name);
  if (bytes.length <= ENCODED_BYTES_MAX) return `=${bytes.toString("base64url")}`;
  return `#${createHash("sha256").update(bytes).digest("base64url")}`;
}

export class Subjects {
  readonly pulse: string;
  private readonly key: string;

  /** @param key  tokens that were checked */
  constructor(key: string) {
    this.key = key;
    this.pulse = `${key}.pulse`;
  }

  /** @throws TypeError on anything that is no id of a node: it may come from another node */
  node(uid: ServerId): string {
    if (!UID.test(uid)) throw new TypeError("no id of a server");
    return `${this.key}.node.${uid}`;
  }

  nobody(uid: ServerId, number: number | "*"): string {
    return `${this.key}.nobody.${uid}.${number}`;
  }

  all(namespace: string): string {
    return `${this.key}.all.${tokenOf(namespace.slice(1))}`;
  }

  /** What the subjects of the rooms of a namespace begin with; `room` gives the rest. */
  rooms(namespace: string): string {
    return `${this.key}.room.${tokenOf(namespace.slice(1))}.`;
  }

  /** A room that is known by a number has the subject of its digits. */
  static room(room: unknown): string {
    return tokenOf(String(room));
  }

  get stream(): string {
    return this.key.replaceAll(".", "+");
  }

  get everything(): { log: string; all: string; sessions: string } {
    return { log: `${this.key}.log.>`, all: `${this.key}.all.>`, sessions: `${this.key}.session.*` };
  }

  logged(namespace: string): string {
    return `${this.key}.log.${tokenOf(namespace.slice(1))}`;
  }

  session(pid: string): string {
    return `${this.key}.session.${tokenOf(pid)}`;
  }

  stored(uid: ServerId, namespace: string, number: number | "*"): string {
    return `${this.key}.stored.${uid}.${tokenOf(namespace.slice(1))}.${number}`;
  }

  reply(uid: ServerId, number: number | "*"): string {
    return `${this.key}.reply.${uid}.${number}`;
  }

  fetched(uid: ServerId, number: number): string {
    return `${this.key}.fetched.${uid}.${number}`;
  }

  /** The number at the end of a subject. */
  static number(subject: string): number {
    return Number(subject.slice(subject.lastIndexOf(".") + 1));
  }
}

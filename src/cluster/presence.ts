// Which other nodes are there: each tells about itself in pulses, and is gone when they stop.
import createDebug from "debug";
import { quoted } from "../support/log-text";
import { ownVersion } from "../support/own-version";
import { runInRoot } from "../support/tick";
import type { NodeDescription } from "../server/adapter/contract";
import { ownAddress } from "../server/adapter/nodes";
import type { Carry } from "./carry/carry";
import type { Health } from "./health";
import type { ServerId } from "./messages";

const debug = createDebug("socket.io-adapter");

/** What changes from pulse to pulse. */
export interface NodeState {
  clients: number;
  namespaces: readonly string[];
}

/** Options of the pulses between nodes. */
export interface PresenceOptions {
  /** Time between two pulses of this node, in milliseconds. Default 5,000. */
  heartbeatInterval?: number;
  /** Time without a pulse after which another node is gone, and after which this node knows that it is deaf. Default 10,000. */
  heartbeatTimeout?: number;
}

interface Peer extends Omit<NodeDescription, "isSelf"> {
  namespaces: ReadonlySet<string>;
  tag: string;
  heardAt: number;
  /** Whether it has sent more than its greeting: it knows this node, too. */
  hasAnswered: boolean;
}

interface Pulse extends Omit<NodeDescription, "isSelf"> {
  namespaces: string[];
  /** Options that need the same value on all nodes. */
  settings: Readonly<Record<string, string>>;
  /** The first characters of the ids of its sessions; empty if sessions are not carried. */
  tag: string;
  /** `hello`: answer with a pulse; `bye`: this node is gone. */
  kind: "hello" | "beat" | "bye";
}

const DEFAULT_INTERVAL_MS = 5_000;
const DEFAULT_TIMEOUT_MS = 10_000;
/** Limits of what other nodes may fill: far above any real cluster. */
const PEERS_MAX = 4_096;
const NAMESPACES_MAX = 10_000;
const TEXT_MAX = 256;
const PULSE_CHARACTERS_MAX = 1_000_000;
const SETTINGS_MAX = 16;

/** The nodes of a cluster. One per process and backend, for all its namespaces. */
export class Presence {
  readonly uid: ServerId;
  private readonly intervalMs: number;
  private readonly timeoutMs: number;
  private readonly since = Date.now();
  private readonly peers = new Map<ServerId, Peer>();
  private readonly byTag = new Map<string, ServerId>();
  private readonly send: (text: string) => Promise<unknown>;
  private readonly state: () => NodeState;
  private readonly version = ownVersion();
  private readonly address = ownAddress();
  private readonly health: Health;
  private readonly onGone: (uid: ServerId) => void;
  private readonly onDeaf: (() => void) | null;
  private readonly isWhole: () => boolean;
  private readonly isSubscribed: () => boolean;
  private readonly settings: Readonly<Record<string, string>>;
  private readonly onDifference: (text: string) => void;
  private readonly carry: Pick<Carry, "tag" | "renewTag"> | null;
  private timer: NodeJS.Timeout | null = null;
  private heardSelfAt = 0;
  private checkedAt = 0;
  private lagMs = 0;
  private hasNews = false;

  /**
   * @param uid      id of this node
   * @param send     sends a text to all nodes
   * @param state    what this node tells about itself
   * @param onGone   a node has said goodbye, or was silent for too long
   * @param carry    its tag is told to the other nodes, and is renewed if an other node has the same; null: sessions are not carried
   * @param isWhole  whether the link has all its connections: otherwise an own pulse shows nothing
   * @param isSubscribed  whether the link hears all that it should, not only pulses
   * @param settings      options that need the same value on all nodes
   * @param onDifference  another node has other settings, or another version: a text for the operator
   * @param onDeaf   this node doesn't hear its own pulses; null where it never does
   */
  constructor(
    uid: ServerId,
    options: PresenceOptions & {
      health: Health;
      send: (text: string) => Promise<unknown>;
      state: () => NodeState;
      onGone: (uid: ServerId) => void;
      onDeaf: (() => void) | null;
      isWhole: () => boolean;
      isSubscribed: () => boolean;
      settings: Readonly<Record<string, string>>;
      onDifference: (text: string) => void;
      carry: Pick<Carry, "tag" | "renewTag"> | null;
    },
  ) {
    this.uid = uid;
    this.intervalMs = options.heartbeatInterval ?? DEFAULT_INTERVAL_MS;
    this.timeoutMs = options.heartbeatTimeout ?? DEFAULT_TIMEOUT_MS;
    this.health = options.health;
    this.send = options.send;
    this.state = options.state;
    this.onGone = options.onGone;
    this.onDeaf = options.onDeaf;
    this.isWhole = options.isWhole;
    this.isSubscribed = options.isSubscribed;
    this.settings = options.settings;
    this.onDifference = options.onDifference;
    this.carry = options.carry;
  }

  /** Greets the other nodes, which answer, and goes on with a pulse per interval. Rejects if the greeting was not sent. */
  start(): Promise<unknown> {
    this.heardSelfAt = this.checkedAt = Date.now();
    runInRoot(() => {
      this.timer ??= setInterval(onInterval, this.intervalMs, this);
      this.timer.unref?.();
    });
    return this.send(this.textOf("hello"));
  }

  /** Greets the other nodes again: the link was interrupted. */
  greet(): void {
    if (this.timer !== null) void this.pulse("hello");
  }

  /** Says goodbye. */
  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.peers.clear();
    await this.pulse("bye");
  }

  /** The namespaces of this node have changed: the other nodes are told at the end of the tick. */
  announce(): void {
    if (this.hasNews || this.timer === null) return;
    this.hasNews = true;
    setImmediate(() => {
      this.hasNews = false;
      if (this.timer !== null) void this.pulse("beat");
    });
  }

  /** Ids of the other nodes that have a namespace. */
  nodesWith(namespace: string): Set<ServerId> {
    const found = new Set<ServerId>();
    for (const [uid, { namespaces }] of this.peers) if (namespaces.has(namespace)) found.add(uid);
    return found;
  }

  has(uid: ServerId): boolean {
    return this.peers.has(uid);
  }

  /** Whether all these nodes and this one know each other. */
  hasMet(uids: readonly ServerId[]): boolean {
    return uids.every((uid) => this.peers.get(uid)?.hasAnswered === true);
  }

  /** The node whose session ids begin with a tag. */
  ownerOf(tag: string): ServerId | undefined {
    const uid = this.byTag.get(tag);
    return uid !== undefined && this.peers.get(uid)?.tag === tag ? uid : undefined;
  }

  get size(): number {
    return this.peers.size;
  }

  /** All nodes, this one first. */
  describe(): NodeDescription[] {
    const others = Array.from(this.peers.values(), ({ namespaces: _, heardAt: __, tag: ___, ...node }) => ({ ...node, isSelf: false }));
    return [{ ...this.self(), clients: this.state().clients, isSelf: true }, ...others];
  }

  /** A text of some node, possibly of this one. */
  onPulse(text: unknown): void {
    const pulse = readPulse(text);
    if (pulse === null) {
      this.health.counters.malformed++;
      return;
    }
    if (pulse.id === this.uid) return this.onOwnPulse();
    if (this.timer === null) return;
    const { kind, namespaces, settings, ...node } = pulse;
    if (kind === "bye") return this.remove(pulse.id);
    if (!this.peers.has(node.id)) {
      if (this.peers.size >= PEERS_MAX) return;
      if (debug.enabled) debug("the server %s is there", quoted(node.id));
      this.compare(node.version, settings);
      if (kind === "beat") this.announce(); // it has forgotten this node, or was cut off: it may not know of this one
    }
    this.onTag(node.id, node.tag);
    const hasAnswered = kind === "beat" || this.peers.get(node.id)?.hasAnswered === true;
    this.peers.set(node.id, { ...node, namespaces: new Set(namespaces), heardAt: Date.now(), hasAnswered });
    if (kind === "hello") this.announce();
  }

  /** Tells what keeps this node and another one from understanding each other. */
  private compare(version: string, settings: Readonly<Record<string, string>>): void {
    for (const [name, own] of Object.entries(this.settings)) {
      const other = settings[name];
      if (other === undefined || other === own) continue;
      this.onDifference(`option ${name}: this server has ${own}, another one of its cluster ${quoted(other)}: give all the same value`);
    }
    if (version === this.version) return;
    const text = `this server runs roomcast ${this.version}, another one of its cluster ${quoted(version)}`;
    this.onDifference(`${text}: replace the older ones soon, they ignore what they don't know`);
  }

  /** Two nodes have chosen the same tag: the one with the greater id takes another one for its new sessions. */
  private onTag(uid: ServerId, tag: string): void {
    if (this.carry === null || tag === "") return;
    this.byTag.set(tag, uid);
    if (tag !== this.carry.tag || uid > this.uid) return;
    this.carry.renewTag();
    this.announce();
  }

  /** The link knows that a node is gone. */
  forget(uid: ServerId): void {
    this.remove(uid);
  }

  /** Time in which this node heard nothing, not even itself, is no silence of the others. */
  private onOwnPulse(): void {
    if (!this.isWhole()) return;
    const now = Date.now();
    const deafMs = now - this.heardSelfAt - this.intervalMs;
    if (deafMs > this.intervalMs) for (const peer of this.peers.values()) peer.heardAt += deafMs;
    this.heardSelfAt = now;
    if (this.isSubscribed()) this.health.restore();
  }

  /** @internal */
  onInterval(): void {
    const now = Date.now();
    this.lagMs = Math.max(0, now - this.checkedAt - this.intervalMs);
    void this.pulse("beat");
    const wasStopped = now - this.checkedAt > 2 * this.intervalMs; // what has arrived meanwhile is read after this timer
    this.checkedAt = now;
    if (wasStopped) return;
    const hearsItself = this.onDeaf === null || now - this.heardSelfAt <= 2 * this.intervalMs;
    if (hearsItself) for (const [uid, { heardAt }] of this.peers) if (now - heardAt > this.timeoutMs) this.remove(uid);
    if (this.onDeaf === null || now - this.heardSelfAt <= this.timeoutMs) return;
    this.health.degrade(`this server hears nothing, not even itself, for ${now - this.heardSelfAt} ms`);
    this.onDeaf();
  }

  private remove(uid: ServerId): void {
    const peer = this.peers.get(uid);
    if (peer === undefined) return;
    this.peers.delete(uid);
    if (this.byTag.get(peer.tag) === uid) this.byTag.delete(peer.tag);
    if (debug.enabled) debug("the server %s is gone", quoted(uid));
    this.onGone(uid);
  }

  private async pulse(kind: Pulse["kind"]): Promise<void> {
    try {
      await this.send(this.textOf(kind));
    } catch (error) {
      if (debug.enabled) debug("a pulse was not sent: %s", quoted(error));
    }
  }

  private textOf(kind: Pulse["kind"]): string {
    const { clients, namespaces } = this.state();
    const { settings } = this;
    const pulse: Pulse = { kind, ...this.self(), clients, namespaces: [...namespaces], settings, tag: this.carry?.tag ?? "" };
    return JSON.stringify(pulse);
  }

  private self(): Omit<NodeDescription, "clients" | "isSelf"> {
    return { id: this.uid, address: this.address, lag: this.lagMs, version: this.version, since: this.since };
  }
}

function onInterval(presence: Presence): void {
  presence.onInterval();
}

/** Checks a pulse; null for anything else. Unknown members are not copied. */
function readPulse(text: unknown): Pulse | null {
  if (typeof text !== "string" || text.length > PULSE_CHARACTERS_MAX) return null;
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const { kind, id, address, clients, lag, version, since, namespaces } = value;
  if (kind !== "hello" && kind !== "beat" && kind !== "bye") return null;
  if (!isText(id) || !isText(address) || !isText(version) || !isCount(clients) || !isCount(lag) || !isCount(since)) return null;
  if (!Array.isArray(namespaces) || namespaces.length > NAMESPACES_MAX || !namespaces.every((name) => typeof name === "string"))
    return null;
  const tag = isText(value["tag"]) ? value["tag"] : "";
  return { kind, id, address, clients, lag, version, since, tag, namespaces, settings: readSettings(value["settings"]) };
}

/** Gives those of the right form; nodes may send none. */
function readSettings(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, SETTINGS_MAX)
      .filter((entry): entry is [string, string] => isText(entry[0]) && isText(entry[1])),
  );
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= TEXT_MAX;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

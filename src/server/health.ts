// `io.health()` and `io.healthHandler()`: whether this server is alive, and whether it should get new clients.
import type { IncomingMessage, ServerResponse } from "node:http";
import { inspect } from "node:util";
import { LoopLag } from "../engine/loop-lag";
import { UsageError } from "../errors";

/** What makes `io.health()` say that the server is not alive, or not ready. */
export interface HealthOptions {
  /** Milliseconds that the event loop may be late; above, the server is not ready. Default 1000. */
  readyLoopLagMs?: number;
  /** Milliseconds that the event loop may be late; above, the server is not alive. Default 10000. */
  liveLoopLagMs?: number;
  /**
   * Whether the server is not ready while its link to the other servers is interrupted. Default false: its own clients are served as always,
   * and the link of all servers often fails at once, so that no server would be left for new clients.
   */
  requireAdapter?: boolean;
}

/** The result of `io.health()`. Times are in milliseconds since 1970. */
export interface ServerHealth {
  /** False if the event loop is later than `liveLoopLagMs`: a restart may help. */
  live: boolean;
  /** Whether the server should get new clients: `reasons` is empty. */
  ready: boolean;
  /** When `ready` got its value, as far as it was asked for with the same `readyLoopLagMs` and `requireAdapter`. */
  since: number;
  /**
   * Why it is not ready: `detached` (no engine, or closed), `closing`, `draining`, `loop` (later than `readyLoopLagMs`), `adapter` (degraded, with
   * `requireAdapter`).
   */
  reasons: HealthReason[];
  /** How late the event loop is, in milliseconds. It is measured from the first call on, and stops a minute after the last one. */
  loopLagMs: number;
  /** `since`: undefined unless it drains. */
  draining: { active: boolean; since?: number };
  /** The link to the other servers, of the adapter of the main namespace; `none` if that has no status, such as the in-memory adapter. */
  adapter: { status: "ok" | "degraded" | "none"; since?: number };
  /** Connections that are open. */
  clients: number;
}

/** Why a server is not ready, see `ServerHealth.reasons`. */
export type HealthReason = "detached" | "closing" | "draining" | "loop" | "adapter";

/** The options of `io.healthHandler()`. */
export interface HealthHandlerOptions extends HealthOptions {
  /** What decides between 200 and 503: `ready` (default) or `live`. */
  probe?: "ready" | "live";
}

/** A request handler for `http.createServer`, Express and everything that calls handlers in the same way. */
export type HealthHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** What this file needs of the server. */
export interface HealthSource {
  readonly _attached: {
    readonly allEngines: ReadonlySet<unknown>;
    readonly clientsCount: number;
    readonly isClosing: boolean;
    /** Undefined unless it drains. */
    readonly drainsSince: number | undefined;
  };
  readonly sockets: { readonly adapter: object };
}

const LAG_IDLE_MS = 60_000;
/** More sets of options than probes have; a program that computes them must not fill the memory. */
const MAX_VERDICTS = 100;
const DEFAULTS = { readyLoopLagMs: 1000, liveLoopLagMs: 10_000, requireAdapter: false };

/** The health of one server. Nothing runs between the questions but, for a minute, the timer of the lag. */
export class Health {
  private readonly server: HealthSource;
  private readonly lag = new LoopLag(LAG_IDLE_MS);
  /** The last answers and since when they hold, by the options that decide `ready`: probes that ask for different things don't disturb each other. */
  private readonly verdicts = new Map<string, { ready: boolean; since: number }>();

  constructor(server: HealthSource) {
    this.server = server;
  }

  check(options?: HealthOptions): ServerHealth {
    const { readyLoopLagMs, liveLoopLagMs, requireAdapter } = resolveOptions("io.health", options, DEFAULTS);
    const { sockets } = this.server;
    const { allEngines, clientsCount, isClosing, drainsSince } = this.server._attached;
    const loopLagMs = Math.round(this.lag.ms);
    const adapter = describeAdapter(sockets.adapter);
    const reasons: HealthReason[] = [];
    if (allEngines.size === 0) reasons.push("detached");
    if (isClosing) reasons.push("closing");
    if (drainsSince !== undefined) reasons.push("draining");
    if (loopLagMs > readyLoopLagMs) reasons.push("loop");
    if (requireAdapter && adapter.status === "degraded") reasons.push("adapter");
    const ready = reasons.length === 0;
    return {
      live: loopLagMs <= liveLoopLagMs,
      ready,
      since: this.sinceOf(`${readyLoopLagMs} ${requireAdapter}`, ready),
      reasons,
      loopLagMs,
      draining: drainsSince === undefined ? { active: false } : { active: true, since: drainsSince },
      adapter,
      clients: clientsCount,
    };
  }

  private sinceOf(key: string, ready: boolean): number {
    const last = this.verdicts.get(key);
    if (last?.ready === ready) return last.since;
    const since = Date.now();
    this.verdicts.set(key, { ready, since });
    if (this.verdicts.size > MAX_VERDICTS) this.verdicts.delete(this.verdicts.keys().next().value!);
    return since;
  }

  /** @throws UsageError RC_ERR_ARGUMENT */
  handler(given: HealthHandlerOptions = {}): HealthHandler {
    const { probe, ...options } = resolveOptions("io.healthHandler", given, { ...DEFAULTS, probe: "ready" });
    return (request, response) => {
      const health = this.check(options);
      const isWell = probe === "live" ? health.live : health.ready;
      response.writeHead(isWell ? 200 : 503, { "Content-Type": "application/json", "Cache-Control": "no-store" });
      response.end(request.method === "HEAD" ? undefined : JSON.stringify(health));
    };
  }
}

/** Adapters of this package for several servers have both members, and so may others. */
function describeAdapter({ status, statusSince }: { status?: unknown; statusSince?: unknown }): ServerHealth["adapter"] {
  if (status !== "ok" && status !== "degraded") return { status: "none" };
  return typeof statusSince === "number" ? { status, since: statusSince } : { status };
}

function resolveOptions<T extends object>(who: string, given: unknown, defaults: T): T {
  if (given === undefined) return defaults;
  if (typeof given !== "object" || given === null) throw invalid(who, "an object", given);
  const resolved = { ...defaults } as Record<string, unknown>;
  for (const [name, value] of Object.entries(given)) {
    const known = Object.hasOwn(defaults, name) ? (defaults as Record<string, unknown>)[name] : undefined;
    if (known === undefined) throw invalid(who, `one of ${Object.keys(defaults).join(", ")}`, name);
    if (value === undefined) continue;
    if (typeof known === "number" && !(typeof value === "number" && value >= 0)) throw invalid(`${who}, ${name}`, "milliseconds", value);
    if (typeof known === "boolean" && typeof value !== "boolean") throw invalid(`${who}, ${name}`, "true or false", value);
    if (name === "probe" && value !== "ready" && value !== "live") throw invalid(`${who}, probe`, '"ready" or "live"', value);
    resolved[name] = value;
  }
  return resolved as T;
}

function invalid(what: string, expected: string, met: unknown): UsageError {
  return new UsageError("RC_ERR_ARGUMENT", `${what}: expected ${expected}, met ${inspect(met)}`);
}

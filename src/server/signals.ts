// The option `handleSignals`: signals that end the process drain the server first.
import { constants } from "node:os";
import { inspect } from "node:util";
import { UsageError } from "../errors";
import { resolveDrain, type DrainOptions, type DrainResult } from "./http/drain";

/** Members of the option `handleSignals`. */
export interface SignalOptions {
  /**
   * Default `["SIGTERM", "SIGINT"]`.
   * @example
   * signals: ["SIGTERM"]
   */
  signals?: NodeJS.Signals[];
  /** How clients are moved, see `io.close`. Default `true`. */
  drain?: DrainOptions | true;
  /** Whether `process.exit()` is called when all is closed. Default `true`; `false` for a program that has more to close. */
  exit?: boolean;
}

/** What this file needs of the server. */
interface SignalledServer {
  readonly encoder: { encode(packet: any): unknown };
  close(options: { drain: DrainOptions | true }): Promise<DrainResult>;
}

/** No process can listen to these. */
const UNCATCHABLE = new Set(["SIGKILL", "SIGSTOP"]);

/** On listeners of this file. Registered globally: a program may have loaded several copies of this package. */
const kSignalListener = Symbol.for("roomcast.signal");
type SignalListener = ((signal: NodeJS.Signals) => void) & { [kSignalListener]?: true };

/**
 * Listens to signals of the process. The first one drains the server and ends the process with its exit code, 0 by default; when several servers
 * listen, the last one that is closed ends it. A second signal ends it at once.
 */
export class SignalHandler {
  private readonly server: SignalledServer;
  private readonly signals: readonly NodeJS.Signals[];
  private readonly drain: DrainOptions | true;
  private readonly exits: boolean;
  private readonly listener: SignalListener;
  private isListening: boolean;
  private isDraining: boolean;

  /**
   * Gives a handler as the option describes it; null if it is off.
   * @throws UsageError RC_ERR_OPTION; RC_ERR_ARGUMENT on options of a drain that cannot work
   */
  static from(server: SignalledServer, option: unknown): SignalHandler | null {
    if (option === undefined || option === null || option === false) return null;
    return new SignalHandler(server, optionsOf(option));
  }

  private constructor(server: SignalledServer, { signals = ["SIGTERM", "SIGINT"], drain = true, exit = true }: SignalOptions) {
    this.server = server;
    this.signals = signals;
    this.drain = drain;
    this.exits = exit;
    this.listener = Object.assign((signal: NodeJS.Signals) => this.onSignal(signal), { [kSignalListener]: true as const });
    this.isListening = this.isDraining = false;
    resolveDrain(drain, server.encoder);
  }

  /** Starts to listen; a second call changes nothing. */
  listen(): void {
    if (this.isListening) return;
    this.isListening = true;
    for (const signal of this.signals) process.on(signal, this.listener);
  }

  /** The server is closed. */
  stop(): void {
    for (const signal of this.signals) process.removeListener(signal, this.listener);
    this.isListening = this.isDraining = false;
  }

  private onSignal(signal: NodeJS.Signals): void {
    if (this.isDraining) process.exit(128 + constants.signals[signal]);
    this.isDraining = true;
    void this.server.close({ drain: this.drain }).then(() => this.exitAfterLast());
  }

  private exitAfterLast(): void {
    if (!this.exits) return;
    const others = this.signals.flatMap((signal) => process.listeners(signal) as SignalListener[]);
    if (!others.some((listener) => listener[kSignalListener])) process.exit();
  }
}

/** Checks the option and gives its members. */
function optionsOf(given: unknown): SignalOptions {
  if (given === true) return {};
  if (typeof given !== "object" || given === null) throw invalid("", "true or an object", given);
  const { signals, exit, ...others } = given as SignalOptions;
  if (signals !== undefined && !(Array.isArray(signals) && signals.every((name) => name in constants.signals && !UNCATCHABLE.has(name)))) {
    throw invalid(".signals", "an array of names of signals", signals);
  }
  if (exit !== undefined && typeof exit !== "boolean") throw invalid(".exit", "a boolean", exit);
  const unknown = Object.keys(others).find((name) => name !== "drain");
  if (unknown !== undefined) throw invalid("", "one of signals, drain, exit", unknown);
  return given;
}

function invalid(name: string, expected: string, met: unknown): UsageError {
  return new UsageError("RC_ERR_OPTION", `option handleSignals${name}: expected ${expected}, met ${inspect(met)}`);
}

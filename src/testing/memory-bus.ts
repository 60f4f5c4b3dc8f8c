// A link between servers of one process: messages travel as bytes, later, as they do over a network.
import { EventEmitter } from "node:events";
import { deserialize, serialize } from "node:v8";
import type { Channel, Link, LinkListener, Receiver } from "../cluster/link";
import type { ClusterMessage, ClusterResponse, ServerId } from "../cluster/messages";

const setImmediateOfNode = setImmediate; // fake clocks replace it later

/** What travels: the topic says who takes it. */
interface Frame {
  readonly topic: string;
  readonly message: unknown;
}

/**
 * The network between the servers of a test.
 *
 *     up --cut--> cut (nothing travels, senders are told) --restore--> up
 *     up --silence--> silent (nothing travels, nobody is told) --restore--> up
 *
 * What is sent while it is cut or silent is lost, and so is what is under way then.
 */
export class MemoryBus {
  /** @internal */
  readonly frames = new EventEmitter().setMaxListeners(0);
  private state: "up" | "cut" | "silent" = "up";
  private travelling = 0;

  /** Nothing arrives at other servers any more, and each is told. */
  cut(): void {
    this.set("cut");
  }

  /** Nothing arrives at other servers any more, and nobody is told: only heartbeats notice. */
  silence(): void {
    this.set("silent");
  }

  /** Counterpart of `cut` and `silence`. */
  restore(): void {
    this.set("up");
  }

  /** A link for one server, for `linkedAdapter`. */
  link(): Link {
    return new MemoryLink(this);
  }

  /** @internal Whether messages are under way. */
  get isBusy(): boolean {
    return this.travelling > 0;
  }

  /** @internal */
  send(topic: string, message: unknown): Promise<void> {
    if (this.state === "cut") return Promise.reject(new Error("the bus is cut"));
    if (this.state === "silent") return Promise.resolve();
    const bytes = serialize({ topic, message } satisfies Frame);
    this.travelling++;
    setImmediateOfNode(() => {
      this.travelling--;
      if (this.state !== "up") return;
      const frame = deserialize(bytes) as Frame;
      this.frames.emit(frame.topic, frame.message);
    });
    return Promise.resolve();
  }

  private set(state: "up" | "cut" | "silent"): void {
    const was = this.state;
    this.state = state;
    if (state !== was && state !== "silent") this.frames.emit(state);
  }
}

/** One server on a bus. */
class MemoryLink implements Link {
  readonly name = "memory";
  readonly hasEcho = true;
  private readonly bus: MemoryBus;
  private readonly undo: (() => void)[] = [];

  constructor(bus: MemoryBus) {
    this.bus = bus;
  }

  open(listener: LinkListener, uid: ServerId): Promise<void> {
    this.listen("event pulse", (text) => listener.onPulse(text));
    this.listen(`direct ${uid}`, (bytes) => listener.onDirect(Buffer.from(bytes as Uint8Array)));
    this.listen("up", () => listener.onUp());
    this.listen("cut", () => listener.onDown(new Error("the bus is cut")));
    return Promise.resolve();
  }

  channel(receiver: Receiver): Channel {
    const { bus } = this;
    const to = (uid: string): string => `answer ${uid} ${receiver.namespace}`;
    const undo = [
      this.listen(`all ${receiver.namespace}`, (message) => receiver.onMessage(message)),
      this.listen(to(receiver.uid), (response) => receiver.onResponse(response)),
    ];
    return {
      publish: async (message: ClusterMessage) => {
        await bus.send(`all ${receiver.namespace}`, message);
        return {};
      },
      respond: (uid: ServerId, response: ClusterResponse) => bus.send(to(uid), response),
      close: () => stop(undo),
    };
  }

  sendPulse(text: string): Promise<void> {
    return this.bus.send("event pulse", text);
  }

  sendDirect(to: ServerId, bytes: Buffer): Promise<void> {
    return this.bus.send(`direct ${to}`, bytes);
  }

  renew(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return stop(this.undo);
  }

  private listen(topic: string, listener: (message: unknown) => void): () => void {
    const { frames } = this.bus;
    frames.on(topic, listener);
    const undo = (): void => void frames.off(topic, listener);
    this.undo.push(undo);
    return undo;
  }
}

/** What was sent before still leaves. */
function stop(undo: (() => void)[]): Promise<void> {
  setImmediateOfNode(() => undo.forEach((each) => each()));
  return Promise.resolve();
}

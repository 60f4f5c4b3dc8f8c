// The option `limits`, and what `io.stats()` says about it.
import { Server, type ServerOptions } from "socket.io";

declare function expectType<T>(value: T): void;

const io = new Server({
  limits: {
    messagesPerSecond: 100,
    bytesPerSecond: false,
    rateBurstMs: 3000,
    overRate: "drop",
    droppedAck: [{ error: "too many events" }],
    deferredBytes: 1_000_000,
    connections: 1000,
    connectionsPerAddress: 10,
    ipv6PrefixBits: 56,
    pendingHandshakes: 100,
    pendingMiddlewares: 100,
    loopLagMs: 200,
    idleSessionMs: 60_000,
    roomsPerSocket: 50,
    childNamespaces: 100,
    emptyNamespaceMs: 60_000,
    pendingAcks: 100,
    ackLifetimeMs: 60_000,
    replayedPackets: 1000,
    replayedBytes: false,
    recoveriesPerMinute: 10,
  },
  trustedProxies: ["10.0.0.0/8"],
});
expectType<{ addresses: number; handshakes: number; middlewares: number }>(io.stats().admission);
expectType<number>(io.engine.counts.codes.RC_ERR_ACK_LIFETIME);
expectType<number>(io.engine.counts.dropped.slowReader);

type Limits = NonNullable<ServerOptions["limits"]>;
// @ts-expect-error a time is a number of milliseconds
const lifetime: Limits = { ackLifetimeMs: "1m" };
// @ts-expect-error settings can't be switched off
const burst: Limits = { rateBurstMs: false };
// @ts-expect-error no such policy
const policy: Limits = { overRate: "ignore" };
// @ts-expect-error no such limit
const unknown: Limits = { acks: 5 };
void [lifetime, burst, policy, unknown];

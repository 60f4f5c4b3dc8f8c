import {
  Server,
  type DrainedOptions,
  type Namespace,
  type SlowReaderDecision,
  type SlowReaderInfo,
  type SlowReaders,
  type Socket,
} from "socket.io";

declare function expectType<T>(value: T): void;

export async function drained(io: Server, socket: Socket, namespace: Namespace) {
  const options: DrainedOptions = { below: 1, signal: AbortSignal.timeout(1000) };
  expectType<number>(socket.bufferedBytes);
  expectType<void>(await socket.drained());
  expectType<void>(await socket.drained(options));
  for (const target of [io, namespace, io.to("room"), io.local, socket.to("room"), socket.broadcast]) {
    expectType<Promise<void>>(target.drained({ below: 1024 }));
  }
  // @ts-expect-error not a number
  void socket.drained({ below: "1" });
}

export function slowReaders(namespace: Namespace, socket: Socket) {
  const byFunction: SlowReaders = (reader, info: SlowReaderInfo): SlowReaderDecision => {
    expectType<string>(reader.id);
    return info.droppedEvents > 100 || info.bufferedBytes > 1e6 || info.bufferedPackets > 1e3 ? "close" : "drop-oldest";
  };
  new Server({ slowReaders: "drop-oldest", limits: { slowReaderBytes: 1024 } });
  new Server({ slowReaders: byFunction, limits: { slowReaderBytes: false } });
  namespace.slowReaders = "close";
  namespace.slowReaders = byFunction;
  expectType<number>(socket.conn.droppedEvents);
  socket.conn.on("dropped", (count: number) => count);
  // @ts-expect-error not a policy
  namespace.slowReaders = "drop";
  // @ts-expect-error not a decision
  new Server({ slowReaders: () => "drop" });
}

import { Server, Socket, type BroadcastOperator, type Namespace } from "socket.io";

declare function expectType<T>(value: T): void;
declare function exactly<A, B>(..._: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : [never]): void;

interface ClientToServer {
  fromClient: () => void;
}
interface ServerToClient {
  noArg: () => void;
  basicEmit: (a: number, b: string, c: Buffer) => void;
  withAck: (d: string, callback: (e: number) => void) => void;
  bare: (callback: () => void) => void;
  multiple: (callback: (a: string, b: number) => void) => void;
  message: (a: string) => void;
}
interface InterServer {
  ping: (n: number) => void;
  ask: (n: number, callback: (answer: string) => void) => void;
}
interface Data {
  name: string;
  age: number;
}
type Io = Server<ClientToServer, ServerToClient, InterServer, Data>;
type Sock = Socket<ClientToServer, ServerToClient, InterServer, Data>;

export function sockets_emit(socket: Sock) {
  expectType<boolean>(socket.emit("noArg"));
  socket.emit("basicEmit", 1, "2", Buffer.from([3]));
  socket.emit("withAck", "4", (e) => {
    const n: number = e;
    return n;
  });
  // @ts-expect-error wrong type
  socket.emit("basicEmit", "1", "2", Buffer.from([3]));
  // @ts-expect-error an argument is missing
  socket.emit("basicEmit", 1, "2");
  // @ts-expect-error an argument too many
  socket.emit("noArg", 1);
  // @ts-expect-error unknown
  socket.emit("fromClient");
  // @ts-expect-error the callback gets a number
  socket.emit("withAck", "4", (e: string) => e);
}

export function timeouts_put_an_error_first(socket: Sock) {
  socket.timeout(1).emit("withAck", "4", (err, e) => {
    expectType<Error>(err);
    expectType<number>(e);
  });
  socket.timeout(1).emit("bare", (err) => expectType<Error>(err));
  // @ts-expect-error the error comes first
  socket.timeout(1).emit("withAck", "4", (e: number) => e);
  socket.timeout(1).emit("basicEmit", 1, "2", Buffer.from([3]));
}

export function broadcasts_of_a_server_expect_no_answer(io: Io, namespace: Namespace<ClientToServer, ServerToClient, InterServer, Data>) {
  expectType<boolean>(io.emit("basicEmit", 1, "2", Buffer.from([3])));
  namespace.emit("noArg");
  // @ts-expect-error expects an answer
  io.emit("withAck", "4", () => {});
  // @ts-expect-error expects an answer
  namespace.emit("withAck", "4", () => {});
  // @ts-expect-error expects an answer
  namespace.emit("bare", () => {});
}

export function broadcasts_collect_lists(io: Io, socket: Sock) {
  io.timeout(1).emit("withAck", "x", (err, r) => {
    expectType<Error>(err);
    const a: number[] = r;
    return a;
  });
  io.to("room").emit("withAck", "x", (r) => expectType<number[]>(r));
  io.to("room")
    .timeout(1)
    .emit("multiple", (err, r) => {
      expectType<Error>(err);
      expectType<string[]>(r);
    });
  // @ts-expect-error only the first value is kept
  io.timeout(1).emit("multiple", (err: Error, r: string[], second: number[]) => [err, r, second]);
  socket.broadcast.timeout(1).emit("withAck", "x", (err, r) => expectType<[Error, number[]]>([err, r]));
  io.to("room")
    .except(["a", "b"])
    .volatile.local.compress(false)
    .emit("basicEmit", 1, "2", Buffer.from([3]));
  // @ts-expect-error wrong type
  io.to("room").emit("basicEmit", "1", "2", Buffer.from([3]));
  // @ts-expect-error unknown
  io.to("room").emit("unknown");
}

export async function answers_are_awaited(io: Io, socket: Sock) {
  const one = await socket.emitWithAck("withAck", "4");
  exactly<typeof one, number>();
  const timed = await socket.timeout(1).emitWithAck("withAck", "4");
  exactly<typeof timed, number>();
  const first = await socket.emitWithAck("multiple");
  exactly<typeof first, string>();
  // @ts-expect-error no answer is expected
  await socket.emitWithAck("basicEmit", 1, "2", Buffer.from([3]));
  // @ts-expect-error wrong type
  await socket.emitWithAck("withAck", 4);

  const many = await io.timeout(1).emitWithAck("withAck", "4");
  exactly<typeof many, number[]>();
  const room = await io.to("r").timeout(1).emitWithAck("multiple");
  exactly<typeof room, string[]>();
  // @ts-expect-error needs a time-out
  await io.in("r").emitWithAck("withAck", "4");
  // @ts-expect-error no answer is expected
  await io.timeout(1).emitWithAck("basicEmit", 1, "2", Buffer.from([3]));
}

export function send_is_message(io: Io, socket: Sock) {
  io.send("a");
  socket.send("a");
  io.write("a");
  // @ts-expect-error wrong type
  io.send(1);
  const silent = new Server<ClientToServer, { other: () => void }>();
  // @ts-expect-error there is no such event
  silent.send("a");
}

export async function servers_ask_servers(io: Io) {
  expectType<boolean>(io.serverSideEmit("ping", 1));
  io.serverSideEmit("ask", 1, (err, answers) => {
    expectType<Error>(err);
    expectType<string[]>(answers);
  });
  // @ts-expect-error wrong type
  io.serverSideEmit("ping", "1");
  // @ts-expect-error unknown
  io.serverSideEmit("noArg");
  const answers = await io.serverSideEmitWithAck("ask", 1);
  exactly<typeof answers, string[]>();
  // @ts-expect-error no answer is expected
  await io.of("/x").serverSideEmitWithAck("ping", 1);
}

export async function data_is_typed(io: Io, socket: Sock) {
  socket.data.name = "x";
  // @ts-expect-error wrong type
  socket.data.age = "x";
  const [remote] = await io.fetchSockets();
  const name: string = remote!.data.name;
  expectType<string>(remote!.id);
  expectType<Set<string>>(remote!.rooms);
  remote!.emit("basicEmit", 1, "2", Buffer.from([3]));
  remote!.timeout(1).emit("withAck", "x", (err, value) => expectType<[Error, number]>([err, value]));
  for (const one of await io.in("room").fetchSockets()) expectType<number>(one.data.age);
  const { sockets, silent } = await io.in("room").fetchSockets({ partial: true });
  for (const one of sockets) expectType<number>(one.data.age);
  expectType<string[]>(silent);
  expectType<number>(await io.in("room").count());
  expectType<boolean>(await io.in("room").has("id"));
  expectType<Set<string>>(await io.rooms());
  for (const { address, clients, isSelf } of await io.nodes()) expectType<[string, number, boolean]>([address, clients, isSelf]);
  type Found = ReturnType<typeof io.fetchSockets>; // what mocks are typed by
  expectType<Found>(Promise.resolve([remote]));
  await io.in("room").socketsJoin("other");
  return name;
}

export function operators_can_be_named(io: Server): BroadcastOperator<any, any> {
  return io.to("room");
}

import { Server, Socket, type DisconnectReason } from "socket.io";

declare function expectType<T>(value: T): void;

interface ClientToServer {
  noArg: () => void;
  text: (a: string) => void;
  ask: (a: number, answer: (b: string) => void) => void;
}
interface ServerToClient {
  onlyEmitted: (a: number) => void;
}
enum Names {
  Hello = "hello",
}
interface ByEnum {
  [Names.Hello]: (a: string) => void;
}

export function arguments_are_inferred(socket: Socket<ClientToServer, ServerToClient>) {
  socket.on("noArg", () => {});
  socket.on("text", (a) => expectType<string>(a));
  socket.once("text", async (a) => expectType<string>(a));
  socket.on("ask", (a, answer) => {
    expectType<number>(a);
    answer("x");
    // @ts-expect-error the answer is a text
    answer(1);
  });
}

export function wrong_listeners_are_refused(socket: Socket<ClientToServer, ServerToClient>) {
  // @ts-expect-error only emitted
  socket.on("onlyEmitted", () => {});
  // @ts-expect-error unknown
  socket.on("unknown", () => {});
  // @ts-expect-error an argument too many
  socket.on("text", (a: string, b: number) => expectType<unknown>([a, b]));
  // @ts-expect-error wrong type
  socket.on("text", (a: number) => expectType<number>(a));
}

export function reserved_events_are_known(socket: Socket<ClientToServer, ServerToClient>) {
  socket.on("disconnect", (reason, description) => {
    expectType<DisconnectReason>(reason);
    expectType<any>(description);
  });
  socket.on("disconnecting", (reason: DisconnectReason) => expectType<string>(reason));
  socket.on("error", (error) => expectType<Error>(error));
  // @ts-expect-error a reason isn't a number
  socket.on("disconnect", (reason: number) => expectType<number>(reason));
}

export function the_nine_reasons() {
  const reasons: Record<DisconnectReason, true> = {
    "client namespace disconnect": true,
    "server namespace disconnect": true,
    "server shutting down": true,
    "ping timeout": true,
    "transport close": true,
    "transport error": true,
    "parse error": true,
    "forced close": true,
    "forced server close": true,
  };
  return reasons;
}

export function servers_listen_to_servers() {
  const strict = new Server<ClientToServer, ServerToClient, {}>();
  // @ts-expect-error nothing travels between servers
  strict.on("ping", () => {});
  strict.on("connection", (socket) => expectType<string>(socket.id));
  strict.on("connect", (socket) => expectType<boolean>(socket.connected));
  strict.on("new_namespace", (namespace) => expectType<string>(namespace.name));
  const typed = new Server<ClientToServer, ServerToClient, { ping: (a: number) => void }>();
  typed.on("ping", (a) => expectType<number>(a));
  // @ts-expect-error events of clients aren't heard here
  typed.on("text", () => {});
  new Server().on("whatever", (...args) => expectType<any[]>(args));
}

export function enumerations_name_events(socket: Socket<ByEnum>, io: Server<ByEnum>) {
  socket.on(Names.Hello, (a) => expectType<string>(a));
  socket.emit(Names.Hello, "a");
  io.emit(Names.Hello, "a");
  // @ts-expect-error wrong type
  io.emit(Names.Hello, 1);
}

export function listeners_may_be_async(socket: Socket<ClientToServer>, io: Server) {
  socket.on("text", async (a) => {
    await Promise.resolve(a);
  });
  io.on("connection", async (one) => {
    await one.join("room");
  });
}

export function generic_code_keeps_compiling<S extends Socket>(socket: S) {
  socket.on("anything", () => {});
  socket.emit("anything", 1);
}

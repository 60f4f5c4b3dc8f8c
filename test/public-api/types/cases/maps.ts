import { Namespace, Server, Socket, type DefaultEventsMap } from "socket.io";

declare function expectType<T>(value: T): void;
declare function exactly<A, B>(..._: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : [never]): void;

interface ClientToServer {
  fromClient: (a: string) => void;
}
interface ServerToClient {
  fromServer: (a: number) => void;
}
interface InterServer {
  between: (a: boolean) => void;
}
interface Data {
  name: string;
}

export function four_parameters_have_defaults() {
  exactly<Server, Server<DefaultEventsMap, DefaultEventsMap, DefaultEventsMap, any>>();
  exactly<Server<ClientToServer>, Server<ClientToServer, ClientToServer, DefaultEventsMap, any>>();
  exactly<Namespace<ClientToServer>, Namespace<ClientToServer, ClientToServer, DefaultEventsMap, any>>();
  exactly<Socket<ClientToServer>, Socket<ClientToServer, ClientToServer, DefaultEventsMap, any>>();
}

export function the_default_map_accepts_everything(io: Server, socket: Socket) {
  io.emit("anything", 1, {}, () => {});
  io.on("anything", (a, b, c) => expectType<any>([a, b, c]));
  io.serverSideEmit("anything", 1, (err: Error, values: string[]) => expectType<unknown>([err, values]));
  socket.emit("anything", "a", (value: number) => expectType<number>(value));
  socket.on("anything", (a: string, b: number) => expectType<unknown>([a, b]));
  socket.timeout(1).emit("anything", (err: Error, value: string) => expectType<unknown>([err, value]));
  expectType<Promise<any>>(socket.emitWithAck("anything", 1));
  expectType<Promise<any>>(io.timeout(1).emitWithAck("anything", 1));
  io.send("a", 1);
}

export function one_map_serves_both_directions() {
  interface Both {
    message: (a: string) => void;
  }
  const io = new Server<Both>();
  io.emit("message", "a");
  io.on("connection", (socket) => {
    socket.on("message", (a) => expectType<string>(a));
    socket.emit("message", "a");
    // @ts-expect-error a number isn't a text
    socket.emit("message", 1);
    // @ts-expect-error no such event
    socket.on("other", () => {});
  });
}

export function all_four_are_kept(io: Server<ClientToServer, ServerToClient, InterServer, Data>) {
  io.on("connection", (socket) => {
    exactly<typeof socket, Socket<ClientToServer, ServerToClient, InterServer, Data>>();
  });
  io.use((socket, next) => {
    exactly<typeof socket, Socket<ClientToServer, ServerToClient, InterServer, Data>>();
    next();
    next(new Error("x"));
  });
  exactly<typeof io.sockets, Namespace<ClientToServer, ServerToClient, InterServer, Data>>();
  io.on("new_namespace", (namespace) => {
    exactly<typeof namespace, Namespace<ClientToServer, ServerToClient, InterServer, Data>>();
  });
}

export function typed_ones_are_assignable_to_the_default() {
  const io: Server = new Server<ClientToServer, ServerToClient, InterServer>();
  const full: Server = new Server<ClientToServer, ServerToClient, InterServer, Data>();
  const takesSocket = (_socket: Socket) => {};
  const takesNamespace = (_namespace: Namespace) => {};
  new Server<ClientToServer, ServerToClient>().on("connection", (socket) => takesSocket(socket));
  takesNamespace(new Server<ClientToServer, ServerToClient>().of("/x"));
  return [io, full];
}

export function namespaces_may_have_maps_of_their_own(io: Server) {
  const namespace: Namespace<ClientToServer, ServerToClient, InterServer, Data> = io.of("/x");
  namespace.on("connection", (socket) => {
    socket.on("fromClient", (a) => expectType<string>(a));
    expectType<string>(socket.data.name);
  });
  const typed = new Server<{ other: () => void }, { another: (a: string) => void }>();
  const unrelated: Namespace<ClientToServer, ServerToClient, InterServer, Data> = typed.of("/x");
  exactly<ReturnType<typeof typed.of>, Namespace<{ other: () => void }, { another: (a: string) => void }, DefaultEventsMap, any>>();
  io.of(/^\/dynamic-\d+$/).on("connection", (socket) => expectType<string>(socket.nsp.name));
  io.of((name, auth, next) => next(null, name === auth.name));
  return unrelated;
}

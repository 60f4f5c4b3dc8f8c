import { Server, type Namespace } from "socket.io";
import { Adapter as Ours } from "socket.io/adapter";
import { Adapter, ClusterAdapter } from "socket.io-adapter";

declare function expectType<T>(value: T): void;

export function adapters_stand_in_for_each_other(io: Server, nsp: Namespace) {
  expectType<Adapter>(io.of("/").adapter);
  expectType<Adapter>(nsp.adapter);
  expectType<Ours>(io.of("/").adapter);
  expectType<Ours>(new Adapter(nsp));
  expectType<Map<string, Set<string>>>(nsp.adapter.rooms);
  // @ts-expect-error has no such member
  void nsp.adapter.nothing;
  new Server({ adapter: Adapter });
  new Server({ adapter: (namespace) => new Adapter(namespace) });
  io.adapter(Adapter);
  expectType<typeof ClusterAdapter>(ClusterAdapter);
}

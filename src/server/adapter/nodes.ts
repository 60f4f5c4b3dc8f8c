// The description of a server, for `io.nodes()`.
import { hostname } from "node:os";
import { ownVersion } from "../../support/own-version";
import type { NodeDescription } from "./contract";

/** Host name and process id. */
export function ownAddress(): string {
  return `${hostname()}:${process.pid}`;
}

/** A server that knows of no others. */
export function describeSingleNode(server: { _attached?: { clientsCount: number } }): NodeDescription {
  const since = Math.round(Date.now() - process.uptime() * 1000);
  return {
    id: "single",
    address: ownAddress(),
    clients: server._attached?.clientsCount ?? 0,
    lag: 0,
    version: ownVersion(),
    since,
    isSelf: true,
  };
}

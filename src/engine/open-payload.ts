// The payload of the open packet.
import type { ResolvedEngineOptions } from "./options";
import type { TransportName } from "./transport";

/**
 * The payload of the open packet: these five keys in this order (EIO-41).
 * @param upgrades  transports that the session may upgrade to; those that are not enabled are left out (EIO-43)
 */
export function openPayload(sid: string, upgrades: readonly TransportName[], options: ResolvedEngineOptions): string {
  const { pingInterval, pingTimeout, maxHttpBufferSize, transports } = options;
  const enabled = upgrades.filter((name) => transports.includes(name));
  return (
    `{"sid":${JSON.stringify(sid)},"upgrades":${JSON.stringify(enabled)},"pingInterval":${JSON.stringify(pingInterval)},` +
    `"pingTimeout":${JSON.stringify(pingTimeout)},"maxPayload":${JSON.stringify(maxHttpBufferSize)}}`
  );
}

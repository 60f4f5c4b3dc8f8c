// The address of a client for `limits.connectionsPerAddress`: behind trusted proxies that of `X-Forwarded-For`.
import { BlockList, isIP } from "node:net";
import { UsageError } from "../errors";
import type { EngineRequest } from "./host";

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;
const WITH_PORT = /^(?:\[([^\]]*)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/;

/** @throws UsageError RC_ERR_OPTION on anything but a list of addresses and subnets */
export function proxiesOf(given: readonly string[] | undefined | null): BlockList | null {
  if (given === undefined || given === null) return null;
  if (!Array.isArray(given)) throw invalid(typeof given);
  const proxies = new BlockList();
  for (const entry of given as unknown[]) addProxy(proxies, entry);
  return proxies;
}

function addProxy(proxies: BlockList, entry: unknown): void {
  if (typeof entry !== "string") throw invalid(typeof entry);
  const [address, bits, ...more] = entry.split("/");
  const family = isIP(address);
  const maximum = family === 4 ? 32 : 128;
  if (family === 0 || more.length > 0 || (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= maximum))) {
    throw invalid(JSON.stringify(entry));
  }
  proxies.addSubnet(address, bits === undefined ? maximum : Number(bits), family === 4 ? "ipv4" : "ipv6");
}

function invalid(met: string): UsageError {
  return new UsageError(
    "RC_ERR_OPTION",
    `option trustedProxies: expected a list of addresses and subnets such as "10.0.0.0/8", met ${met}`,
  );
}

/**
 * The address that a request comes from. `X-Forwarded-For` is read from right to left, as far as the address before is that of a trusted proxy:
 * everything to the left of that may be invented by the client.
 * @param prefixBits  IPv6 addresses of one subnet of this size count as one address
 * @returns null if the address is not known, as on a Unix socket
 */
export function clientAddressOf(request: EngineRequest, proxies: BlockList | null, prefixBits: number): string | null {
  let address = plain((request.socket ?? request.connection)?.remoteAddress ?? "");
  if (proxies !== null && isTrusted(proxies, address)) {
    const hops = String(request.headers["x-forwarded-for"] ?? "").split(",");
    while (hops.length > 0 && isTrusted(proxies, address)) {
      const hop = plain(hops.pop()!.trim());
      if (isIP(hop) === 0) break;
      address = hop;
    }
  }
  const family = isIP(address);
  if (family === 0) return null;
  return family === 4 ? address : prefixOf(address, prefixBits);
}

function isTrusted(proxies: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && proxies.check(address, family === 4 ? "ipv4" : "ipv6");
}

/** Without a port, brackets, a zone and the prefix of IPv4 addresses in IPv6 form. */
function plain(text: string): string {
  const match = WITH_PORT.exec(text);
  const address = (match === null ? text : (match[1] ?? match[2])).split("%")[0];
  return MAPPED.exec(address)?.[1] ?? address;
}

/** The first bits of an IPv6 address, as text. */
function prefixOf(address: string, bits: number): string {
  const [front, back] = address.split("::");
  const groups = (text: string | undefined): string[] => (text === undefined || text === "" ? [] : text.split(":"));
  const before = groups(front);
  const after = groups(back);
  const all = [...before, ...Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => "0"), ...after];
  const kept = all.map((group, index) => {
    const keptBits = Math.min(16, Math.max(0, bits - index * 16));
    return (parseInt(group, 16) & (0xffff << (16 - keptBits)) & 0xffff).toString(16);
  });
  return `${kept.join(":")}/${bits}`;
}

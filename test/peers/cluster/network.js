/** Redis at the other end of a network that can be cut: a network namespace of Linux, which only root can make. */
import { spawnSync } from "node:child_process";
import { closeLater, startRedis } from "./services.js";

let count = 0;

function ip(...args) {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}

/** Why there can be no such network; undefined when there can. */
export const cannotMakeNetwork = probe();

function probe() {
  if (process.platform !== "linux") return "network namespaces are of Linux";
  if (process.getuid() !== 0) return "only root makes network namespaces";
  try {
    ip("netns", "add", `roomcast${process.pid}`);
    ip("netns", "del", `roomcast${process.pid}`);
    return undefined;
  } catch (error) {
    return `no network namespaces: ${error.message}`;
  }
}

/** Starts Redis there. `cut()` makes the network silent: nothing is refused, nothing arrives; `mend()` ends that. */
export async function startRedisInNetwork() {
  const name = `roomcast${process.pid}-${count}`;
  const [near, far] = [`rc${process.pid}a${count}`, `rc${process.pid}b${count}`];
  const [here, there] = [1, 2].map((last) => `198.51.100.${4 * count + last}`); // reserved for documentation: nobody's
  count++;
  ip("netns", "add", name);
  closeLater(() => ip("netns", "del", name)); // its network goes with it
  ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name);
  ip("address", "add", `${here}/30`, "dev", near);
  ip("link", "set", near, "up");
  ip("-netns", name, "address", "add", `${there}/30`, "dev", far);
  ip("-netns", name, "link", "set", far, "up");
  const redis = await startRedis({ namespace: name, host: there });
  redis.cut = () => ip("-netns", name, "link", "set", far, "down");
  redis.mend = () => ip("-netns", name, "link", "set", far, "up");
  return redis;
}

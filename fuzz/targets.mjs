// The targets by name: what is fuzzed, with seeds and words of its format. Each file of `targets/` exports a few.
const files = {
  codecs: ["engine-packet", "payload-4", "payload-3", "webtransport-frames", "socketio-packets", "msgpack"],
  frames: ["websocket-frames"],
  cluster: ["cluster-messages"],
  servers: ["http-requests", "websocket-server", "polling-server", "http2-server"],
  peers: ["peer-socketio", "peer-engine", "peer-server"],
};

export const targetNames = Object.values(files).flat();

/**
 * Loads a target: `{ seeds, dictionary, run(input), end?(), batch?, isTimed? }`. `seeds` are strings of bytes (latin1), `run` takes a Buffer and
 * throws, or rejects, when a property doesn't hold.
 */
export async function loadTarget(name) {
  const [file] = Object.entries(files).find(([, names]) => names.includes(name));
  const { targets } = await import(`./targets/${file}.mjs`);
  const target = targets[name];
  return typeof target === "function" ? target() : target;
}

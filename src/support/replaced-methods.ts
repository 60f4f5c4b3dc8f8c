// The methods of which a fast path asks whether they are still the original ones: programs and packages put their own in their place.
//
// The list says for each who does. No other source compares a method with that of a prototype (test/project/architecture/internals.test.js).

/** `<object>.<method>`: whose behaviour needs the question, and the rule that a test proves. */
export const REPLACED_METHODS = {
  "net.write": "programs that count or change the bytes of a connection [ENG-115]",
  "net.emit": "programs that read a connection beside the session, as proxies of the PROXY protocol do [ENG-201]",
  "conn.write": "programs that watch or change what a client is sent; socket.io calls it for each packet [MEM-9]",
  "conn.emit": "monitoring packages that count packets and bytes by the session's events [MEM-9]",
  "engine.emit": "engines that extend ours, as @socket.io/cluster-engine does with the original [ENG-204]",
  "engine.generateId": "programs that give ids of their own, and may look at the request for it [ENG-200]",
  "adapter.emit": "tools that watch rooms come and go [MEM-9]",
  "adapter.fetchSockets": "adapters that find sockets of other servers: those of socket.io-adapter, redis, postgres, mongo [MEM-6]",
  "adapter.count": "adapters that count sockets of other servers without fetching them, as those of this package do [ROB-880]",
} as const;

/** Whether a method is not the original one. Hot: bench scenario "burst of 20 to one client". V8 inlines it, so the name costs nothing. */
export function isReplaced(_method: keyof typeof REPLACED_METHODS, current: unknown, original: unknown): boolean {
  return current !== original;
}

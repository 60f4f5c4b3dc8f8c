// The commands that every server script of the bench answers.
import { writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { answerCommands } from "../lib/serve.mjs";
import { documents } from "../lib/traffic.mjs";

export const PING_INTERVAL = 3_000_000;
/** Longer than any wait of a server for its turn. */
export const KEEP_ALIVE_MS = 300_000;
export const MAX_PAYLOAD = 1e7;
export const config = JSON.parse(process.argv[2] ?? "{}");

export const tally = { ingested: 0, connected: 0, answers: 0 };

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The time in microseconds, as 16 digits; clients on the same machine compare it with their time. */
export const stamp = () => String(process.hrtime.bigint() / 1000n).padStart(16, "0");

/** A text of `bytes` characters that begins with the time. */
export const stamped = (filler) => (filler.length < 16 ? filler : stamp() + filler.slice(16));

let inspector = null;

/** A CPU profile between two commands, one sample every 100 µs. */
async function startProfile() {
  inspector = new Session();
  inspector.connect();
  await inspector.post("Profiler.enable");
  await inspector.post("Profiler.setSamplingInterval", { interval: 100 });
  await inspector.post("Profiler.start");
}

async function stopProfile(file) {
  const { profile } = await inspector.post("Profiler.stop");
  inspector.disconnect();
  writeFileSync(file, JSON.stringify(profile));
}

/**
 * Answers commands.
 * @param deeds  `broadcast(payload, room)` sends `item` to all clients or to a room; `assign(rooms)` puts the n-th client into room
 *   `room<n % rooms>`; `ask(number)` is a broadcast with acknowledgement and resolves with the number of answers; further commands
 */
export function control({ broadcast, assign, ask, ...more }) {
  answerCommands({
    cpu: () => ({ cpu: process.cpuUsage(), ...tally }),
    settle() {
      for (let i = 0; i < 8; i++) globalThis.gc?.();
      return { memory: process.memoryUsage(), ...tally };
    },
    /** Waits until this number of clients is connected: a server notices a disconnection later than the client. */
    async connected(count) {
      while (tally.connected !== count) await pause(2);
      return { cpu: process.cpuUsage() };
    },
    assign: (rooms) => void assign(rooms),
    startProfile,
    stopProfile,
    /** `times` broadcasts of documents, each one another. */
    async broadcastDocuments({ times, bytes, gapMs = 1 }) {
      const list = documents(bytes);
      for (let i = 0; i < times; i++) {
        broadcast({ ...list[i % list.length], time: Date.now() });
        await pause(gapMs);
      }
    },
    /** `times` ticks with `perTick` broadcasts each, one tick every `gapMs`; `rooms` is the number of rooms that are used in turn. */
    async broadcast({ times, perTick = 1, bytes, binary = false, rooms = 0, gapMs = 15 }) {
      const filler = binary ? Buffer.alloc(bytes, 1) : "x".repeat(bytes);
      for (let i = 0; i < times; i++) {
        for (let j = 0; j < perTick; j++) {
          if (rooms === 0) broadcast(binary ? filler : stamped(filler));
          for (let room = 0; room < rooms; room++) broadcast(binary ? filler : stamped(filler), `room${room}`);
        }
        await pause(gapMs);
      }
    },
    async broadcastWithAck({ times }) {
      let answers = 0;
      for (let i = 0; i < times; i++) answers += await ask(i);
      return { answers };
    },
    ...more,
  });
}

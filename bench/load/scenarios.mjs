// The load shapes. Each gives `{ units }` for one run against a server that `command` talks to; the caller reads the server's
// CPU time before and after. `scale` shortens a run.
import { closeAll, openClients, textFrame } from "./client.mjs";
import { PollingClient } from "./polling.mjs";

const ACK = 0x33; // "3", the second character of an answer "43…"

function each(clients, run) {
  return Promise.all(clients.map(run));
}

/** Every client sends `count` events, `inFlight` at a time, and waits for each answer. */
async function echo({ port, measure }, { clients: clientCount, count, inFlight, scale }) {
  const clients = await openClients(port, clientCount);
  const total = Math.max(inFlight, Math.round(count * scale));
  const run = () =>
    each(
      clients,
      (client) =>
        new Promise((resolve) => {
          let sent = 0;
          let answered = 0;
          const frames = Array.from({ length: 10 }, (_, i) => textFrame(`42${i}["echo","hello world"]`));
          client.onFrame = (data, start) => {
            if (data[start + 1] !== ACK) return;
            if (++answered === total) return resolve();
            if (inFlight === 1) client.socket.write(frames[sent++ % 10]);
            else if (answered % inFlight === 0) sendBatch();
          };
          const sendBatch = () => {
            const batch = [];
            for (let i = 0; i < inFlight && sent < total; i++) batch.push(frames[sent++ % 10]);
            client.socket.write(Buffer.concat(batch));
          };
          sendBatch();
        }),
    );
  await run(); // warm-up
  const figures = await measure(run);
  closeAll(clients);
  return { ...figures, units: total * clientCount };
}

async function broadcast({ port, measure, command }, { clients: clientCount, times, perTick = 1, bytes = 64, binary = false, scale }) {
  const clients = await openClients(port, clientCount);
  const rounds = Math.max(2, Math.round(times * scale));
  const framesEach = rounds * perTick * (binary ? 2 : 1);
  const run = async () => {
    for (const client of clients) client.frames = 0;
    const all = each(
      clients,
      (client) =>
        new Promise((resolve) => {
          client.onFrame = () => client.frames === framesEach && resolve();
        }),
    );
    await command("broadcast", { times: rounds, perTick, bytes, binary });
    await all;
  };
  await run();
  const figures = await measure(run);
  closeAll(clients);
  return { ...figures, units: rounds * perTick * clientCount };
}

export const scenarios = {
  "connect, websocket only": {
    unit: "connection",
    async run({ port, measure }, scale) {
      const total = Math.round(3000 * scale);
      closeAll(await openClients(port, 2000)); // long enough for the compiler to be done
      let clients;
      const figures = await measure(async () => {
        clients = await openClients(port, total);
      });
      closeAll(clients);
      return { ...figures, units: total };
    },
  },
  "echo with ack, 1 in flight": { unit: "message", run: (server, scale) => echo(server, { clients: 100, count: 500, inFlight: 1, scale }) },
  "echo with ack, 8 in flight": { unit: "message", run: (server, scale) => echo(server, { clients: 50, count: 800, inFlight: 8, scale }) },
  "burst of 20 to one client": {
    unit: "message",
    async run({ port, measure }, scale) {
      const clients = await openClients(port, 50);
      const bursts = Math.max(1, Math.round(100 * scale));
      const ask = textFrame('42["burst",20,"hello world"]');
      const run = () =>
        each(
          clients,
          (client) =>
            new Promise((resolve) => {
              client.frames = 0;
              client.onFrame = () => {
                if (client.frames === bursts * 20) resolve();
                else if (client.frames % 20 === 0) client.socket.write(ask);
              };
              client.socket.write(ask);
            }),
        );
      await run();
      const figures = await measure(run);
      closeAll(clients);
      return { ...figures, units: bursts * 20 * clients.length };
    },
  },
  "broadcast 64 B to 1000": { unit: "recipient", run: (server, scale) => broadcast(server, { clients: 1000, times: 40, scale }) },
  "broadcast 64 B to 1000, 5 per tick": {
    unit: "recipient",
    run: (server, scale) => broadcast(server, { clients: 1000, times: 20, perTick: 5, scale }),
  },
  "broadcast 16 KB to 300": {
    unit: "recipient",
    run: (server, scale) => broadcast(server, { clients: 300, times: 30, bytes: 16384, scale }),
  },
  "broadcast 1 KB binary to 1000": {
    unit: "recipient",
    run: (server, scale) => broadcast(server, { clients: 1000, times: 30, bytes: 1024, binary: true, scale }),
  },
  "ingest, 20 per chunk": {
    unit: "message",
    async run({ port, measure, command }, scale) {
      const clients = await openClients(port, 50);
      const chunks = Math.max(1, Math.round(250 * scale));
      const chunk = Buffer.concat(Array.from({ length: 20 }, () => textFrame('42["ingest",{"a":1,"b":"hello world"}]')));
      const fence = textFrame('420["echo",1]');
      const run = () =>
        each(
          clients,
          (client) =>
            new Promise((resolve) => {
              let left = chunks;
              const next = () => client.socket.write(--left === 0 ? Buffer.concat([chunk, fence]) : chunk, () => left > 0 && next());
              client.onFrame = (data, start) => data[start + 1] === ACK && resolve();
              next();
            }),
        );
      await run();
      const figures = await measure(run);
      const { ingested } = await command("cpu");
      if (ingested < chunks * 20 * clients.length * 2) throw new Error(`only ${ingested} messages arrived`);
      closeAll(clients);
      return { ...figures, units: chunks * 20 * clients.length };
    },
  },
  "long-polling echo": {
    unit: "cycle",
    async run({ port, measure }, scale) {
      const clients = await Promise.all(Array.from({ length: 20 }, () => new PollingClient(port).open()));
      const cycles = Math.max(1, Math.round(300 * scale));
      const run = () =>
        each(clients, async (client) => {
          for (let i = 0; i < cycles; i++) await client.echo(i);
        });
      await run();
      await run();
      const figures = await measure(run);
      for (const client of clients) client.close();
      return { ...figures, units: cycles * clients.length };
    },
  },
  "idle memory": {
    unit: "connection",
    memory: true,
    async run({ port, command }, scale) {
      const first = await openClients(port, Math.round(1000 * scale));
      const before = (await command("settle")).memory;
      const count = Math.round(4000 * scale);
      const clients = await openClients(port, count);
      const after = (await command("settle")).memory;
      closeAll(first);
      closeAll(clients);
      return { units: count, rss: after.rss - before.rss, heap: after.heapUsed - before.heapUsed };
    },
  },
};

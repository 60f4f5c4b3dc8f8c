// One load generator: a process with its share of the clients. Its commands are the load shapes; each resolves when the server did
// what was asked, with `{ units, latencies }`.
import { Histogram } from "../lib/stats.mjs";
import { answerCommands, ready } from "../lib/serve.mjs";
import { Client, textFrame } from "./client.mjs";
import { StreamClient } from "./http2.mjs";
import { openByUpgrade, PollingClient } from "./polling.mjs";

const ACK = 0x33; // "3", the second character of an answer "43…"
const EVENT = 0x32; // "2"
const CLIENTS = { websocket: Client, http2: StreamClient, polling: PollingClient };
const TIME_LIMIT = 60_000;
const ITEM = '42["item","'.length;

let clients = [];
let stalled = [];
let arrived = 0;
let expected = Infinity;
let onArrived = null;
let stampedFrames = null;

const now = () => performance.now();
const clock = () => Number(process.hrtime.bigint() / 1000n);

/** A turn of the event loop that found nothing to do is shorter than this. */
const EMPTY_TURN_MS = 0.004;
let running = 0;
let lastTurn = 0;
let emptyMs = 0;

/**
 * While a command runs, the generator never sleeps: on one machine the server's writes would have to wake it, which costs the server
 * an interrupt to another core that a client behind a network card doesn't. Turns without work count as idle all the same.
 */
function stayAwake() {
  const time = now();
  if (time - lastTurn < EMPTY_TURN_MS) emptyMs += time - lastTurn;
  lastTurn = time;
  if (running > 0) setImmediate(stayAwake);
}

async function awake(work) {
  if (running++ === 0) setImmediate(stayAwake);
  try {
    return await work();
  } finally {
    running--;
  }
}

/** Fails when `work` isn't done in time. */
function inTime(work, what) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} not done after ${TIME_LIMIT / 1000} s`)), TIME_LIMIT);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Runs `start(client, done)` for every client of `group`; fails when one isn't done in time. */
function each(group, start) {
  return new Promise((resolve, reject) => {
    let left = group.length;
    if (left === 0) return resolve();
    const timer = setTimeout(
      () => reject(new Error(`${left} of ${group.length} clients still wait after ${TIME_LIMIT / 1000} s`)),
      TIME_LIMIT,
    );
    const done = () => {
      if (--left > 0) return;
      clearTimeout(timer);
      resolve();
    };
    for (const client of group) start(client, done);
  });
}

const countFrame = () => {
  if (++arrived === expected) onArrived();
};

/** Every 20th client compares the time in a broadcast with its own. */
const countAndCompare = (client, data, start, end) => {
  if (end - start > ITEM + 16 && data[start + ITEM] < 58) {
    const sent = Number(data.latin1Slice(start + ITEM, start + ITEM + 16));
    if (sent > 0) stampedFrames.add(clock() - sent);
  }
  countFrame();
};

const commands = {
  /** Microseconds of work so far. */
  work() {
    const { user, system } = process.cpuUsage();
    return user + system - emptyMs * 1000;
  },

  /** Opens clients, at most `atOnce` handshakes under way: by "websocket", "http2", "polling", or "upgrade" from that to "websocket". */
  async open({ count, transport = "websocket", atOnce = 50, addresses, ...settings }) {
    const latencies = new Histogram();
    let started = 0;
    const openOne = () => {
      const own = addresses === undefined ? settings : { ...settings, localAddress: addresses[started % addresses.length] };
      if (transport === "upgrade") return openByUpgrade(own);
      return new CLIENTS[transport](own).open();
    };
    const lane = async () => {
      while (started < count) {
        started++;
        const start = now();
        clients.push(await openOne());
        latencies.add((now() - start) * 1000);
      }
    };
    await inTime(Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane)), "opening");
    return { units: count, latencies: latencies.counts };
  },

  close() {
    for (const client of clients) client.close();
    clients = [];
  },

  /** Every client, or the first `active`, sends `count` events, `inFlight` at a time, and waits for each answer. */
  async echo({ count, inFlight, bytes = 11, active = Infinity }) {
    const group = clients.slice(0, active);
    const latencies = new Histogram();
    const text = bytes === 11 ? "hello world" : "hello world ".repeat(bytes / 12);
    const frames = Array.from({ length: 10 }, (_, i) => textFrame(`42${i}["echo","${text}"]`));
    const total = Math.ceil(count / inFlight) * inFlight;
    const batch = Buffer.concat(Array.from({ length: inFlight }, (_, i) => frames[i % 10]));
    await each(group, (client, done) => {
      let answered = 0;
      let sentAt = now();
      client.onFrame = (_client, data, start) => {
        if (data[start + 1] !== ACK && bytes === 11) return;
        latencies.add((now() - sentAt) * 1000);
        if (++answered === total) return done();
        if (answered % inFlight > 0) return;
        sentAt = now();
        client.socket.write(batch);
      };
      client.socket.write(batch);
    });
    return { units: total * group.length, latencies: latencies.counts };
  },

  /**
   * Events at a steady rate, whatever the answers do; the delay counts from the moment when the event was due. `lags` tells how
   * late they were sent: that part isn't the server's.
   */
  async paced({ perSecond, durationMs }) {
    const latencies = new Histogram();
    const lags = new Histogram();
    const frame = textFrame('420["echo","hello world"]');
    const total = Math.max(1, Math.round((perSecond * durationMs) / 1000));
    const gap = 1000 / perSecond;
    const start = now() + 5;
    let sent = 0;
    let answered = 0;
    const finished = new Promise((resolve) => {
      for (const client of clients) {
        client.due = [];
        client.onFrame = () => {
          latencies.add((now() - client.due.shift()) * 1000);
          if (++answered === total) resolve();
        };
      }
    });
    await new Promise((resolve) => {
      const turn = () => {
        const time = now();
        for (; sent < total && start + sent * gap <= time; sent++) {
          const client = clients[sent % clients.length];
          const due = start + sent * gap;
          client.due.push(due);
          lags.add((now() - due) * 1000);
          client.socket.write(frame);
        }
        if (sent === total) resolve();
        else setImmediate(turn);
      };
      turn();
    });
    await inTime(finished, "answers");
    return { units: total, latencies: latencies.counts, lags: lags.counts };
  },

  /** Chunks of events without acknowledgement; one echo at the end tells that they were taken. */
  async ingest({ chunks, perChunk }) {
    const chunk = Buffer.concat(Array.from({ length: perChunk }, () => textFrame('42["ingest",{"a":1,"b":"hello world"}]')));
    const last = Buffer.concat([chunk, textFrame('420["echo",1]')]);
    await each(clients, (client, done) => {
      let left = chunks;
      const next = () => client.socket.write(--left === 0 ? last : chunk, () => left > 0 && next());
      client.onFrame = (_client, data, start) => data[start + 1] === ACK && done();
      next();
    });
    return { units: chunks * perChunk * clients.length };
  },

  /** Every client asks for a burst of `size` events, `bursts` times. */
  async burst({ bursts, size }) {
    const latencies = new Histogram();
    const ask = textFrame(`42["burst",${size},"hello world"]`);
    await each(clients, (client, done) => {
      let sentAt = now();
      client.frames = 0;
      client.onFrame = () => {
        if (client.frames % size > 0) return;
        latencies.add((now() - sentAt) * 1000);
        if (client.frames === bursts * size) return done();
        sentAt = now();
        client.socket.write(ask);
      };
      client.socket.write(ask);
    });
    return { units: bursts * size * clients.length, latencies: latencies.counts };
  },

  /** From now on, frames are counted. */
  count() {
    arrived = 0;
    expected = Infinity;
    stampedFrames = new Histogram();
    for (const [index, client] of clients.entries()) client.onFrame = index % 20 === 0 ? countAndCompare : countFrame;
  },

  /** Waits until every counting client got `frames` frames since `count`. */
  async arrived({ frames, without = 0 }) {
    const wanted = frames * (clients.length - without);
    if (arrived < wanted) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${wanted - arrived} of ${wanted} frames are missing`)), TIME_LIMIT);
        expected = wanted;
        onArrived = () => (clearTimeout(timer), resolve());
      });
    }
    return { units: wanted, latencies: stampedFrames.counts };
  },

  /** Every client says something to its room, `times` times; again when as many words came as were said. Begins with `count`. */
  async say({ times, perRoom }) {
    const frame = textFrame('42["say","hello world"]');
    for (let i = 1; i <= times; i++) {
      for (const client of clients) client.socket.write(frame);
      await commands.arrived({ frames: i * (perRoom - 1) });
    }
    return { units: times * clients.length * (perRoom - 1) };
  },

  /** From now on, broadcasts that ask are answered. */
  answer() {
    for (const client of clients) {
      client.onFrame = (_client, data, start) => {
        if (data[start + 1] !== EVENT) return;
        client.socket.write(textFrame(`43${data.latin1Slice(start + 2, data.indexOf(91, start))}[1]`));
      };
    }
  },

  async pollingEcho({ cycles }) {
    const latencies = new Histogram();
    const cycle = async (client) => {
      for (let i = 0; i < cycles; i++) {
        const start = now();
        await client.echo(i);
        latencies.add((now() - start) * 1000);
      }
    };
    await inTime(Promise.all(clients.map(cycle)), "cycles");
    return { units: cycles * clients.length, latencies: latencies.counts };
  },

  /** The first `count` clients stop reading; they don't count any more. */
  stall({ count }) {
    stalled = clients.splice(0, count);
    for (const client of stalled) client.socket.pause().removeAllListeners("end");
  },

  /** They read again, up to the answer to a question they ask: gives how many events had waited for them. */
  async catchUp() {
    let events = 0;
    const question = textFrame('420["echo","hello world"]');
    const read = (client) =>
      new Promise((resolve) => {
        const ask = () => client.socket.write(question);
        const again = setInterval(ask, 200); // a server that drops what a slow client doesn't take may drop the answer, too
        client.onFrame = (_client, data, start) => {
          if (data[start + 1] === EVENT) events++;
          else if (data[start + 1] === ACK) resolve(clearInterval(again));
        };
        client.socket.resume();
        ask();
      });
    await inTime(Promise.all(stalled.map(read)), "reading up");
    return { units: events };
  },
};

const wakeful = Object.entries(commands).map(([name, command]) => [
  name,
  name === "work" ? command : (argument) => awake(() => command(argument)),
]);
answerCommands(Object.fromEntries(wakeful));
ready({});

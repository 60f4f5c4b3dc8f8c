// One load generator: a process with its share of the clients. Each command is one kind of load; it resolves with `{ units, latencies }`
// when the server has answered or sent everything.
import { Histogram } from "../lib/stats.mjs";
import { answerCommands, ready } from "../lib/serve.mjs";
import { documents } from "../lib/traffic.mjs";
import { Client, deflatedTextFrame, textFrame } from "./client.mjs";
import { StreamClient } from "./http2.mjs";
import { checkDocuments } from "./message-reader.mjs";
import { openByUpgrade, PollingClient } from "./polling.mjs";

const ACK = 0x33; // "3", the second character of an answer "43…"
const EVENT = 0x32; // "2"
const CLIENTS = { websocket: Client, http2: StreamClient, polling: PollingClient };
const TIME_LIMIT = 60_000;
/** With `checks` every so many clients read whole messages. */
const READERS_SHARE = 100;
const ITEM = '42["item","'.length;

let clients = [];
let stalled = [];
let arrived = 0;
let expected = Infinity;
let onArrived = null;
let stampedFrames = null;

const now = () => performance.now();
const clock = () => Number(process.hrtime.bigint() / 1000n);

/** An iteration of the event loop without work is shorter than this. */
const EMPTY_TURN_MS = 0.004;
let running = 0;
let lastTurn = 0;
let emptyMs = 0;

/**
 * The generator never sleeps while a command runs. On the same machine the server's writes would have to wake it, by an interrupt to
 * another core, a cost that clients behind a network card do not cause. Iterations without work still count as idle.
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

/** Rejects if `work` takes too long. */
function inTime(work, what) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} not done after ${TIME_LIMIT / 1000} s`)), TIME_LIMIT);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Runs `start(client, done)` for every client of `group`; rejects if one takes too long. */
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

/** Every 20th client measures the latency of broadcasts by the time that they contain. */
const countAndCompare = (client, data, start, end) => {
  if (end - start > ITEM + 16 && data[start + ITEM] < 58) {
    const sent = Number(data.latin1Slice(start + ITEM, start + ITEM + 16));
    if (sent > 0) stampedFrames.add(clock() - sent);
  }
  countFrame();
};

/** A timer may be late by so much. */
const TIMER_MS = 2;

/** Calls `send(client, due)` for the clients in turns, at a constant rate; `due` is when it should have been called. */
function sendPaced({ total, perSecond, start }, send) {
  const gap = 1000 / perSecond;
  let sent = 0;
  return new Promise((resolve) => {
    const turn = () => {
      const time = now();
      for (; sent < total && start + sent * gap <= time; sent++) send(clients[sent % clients.length], start + sent * gap);
      const restMs = start + sent * gap - time;
      if (sent === total) resolve();
      else if (restMs > TIMER_MS)
        setTimeout(turn, restMs - TIMER_MS); // a process that always runs slows the server down, where both share a core
      else setImmediate(turn);
    };
    turn();
  });
}

const commands = {
  /** Microseconds of work so far. */
  work() {
    const { user, system } = process.cpuUsage();
    return user + system - emptyMs * 1000;
  },

  /**
   * Opens clients, with at most `atOnce` pending handshakes: by "websocket", "http2", "polling", or "upgrade" from polling to WebSocket.
   * With `checks` some of them keep what they get for `verify`.
   */
  async open({ count, transport = "websocket", atOnce = 50, addresses, checks = false, ...settings }) {
    const latencies = new Histogram();
    let started = 0;
    const openOne = () => {
      const own = addresses === undefined ? { ...settings } : { ...settings, localAddress: addresses[started % addresses.length] };
      own.reads = checks && started % READERS_SHARE === 1;
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

  /**
   * Every client, or the first `active`, sends `count` events, `inFlight` at a time, and waits for the answers. With `json` the event has
   * a document of that many bytes, compressed if the server agreed.
   */
  async echo({ count, inFlight, json = 0, active = Infinity }) {
    const group = clients.slice(0, active);
    const latencies = new Histogram();
    const total = Math.ceil(count / inFlight) * inFlight;
    const batchOf = (value, frameOf) => Buffer.concat(Array.from({ length: inFlight }, (_, i) => frameOf(`42${i % 10}["echo",${value}]`)));
    const values = (json === 0 ? ["hello world"] : documents(json)).map((value) => JSON.stringify(value));
    const plain = values.map((value) => batchOf(value, textFrame));
    const compressed = json === 0 ? plain : values.map((value) => batchOf(value, deflatedTextFrame));
    await each(group, (client, done) => {
      const batches = client.isCompressing ? compressed : plain;
      let sent = 0;
      let answered = 0;
      let sentAt = now();
      client.onFrame = (_client, data, start) => {
        if (data[start + 1] !== ACK && json === 0) return;
        latencies.add((now() - sentAt) * 1000);
        if (++answered === total) return done();
        if (answered % inFlight > 0) return;
        sentAt = now();
        client.socket.write(batches[++sent % batches.length]);
      };
      client.socket.write(batches[0]);
    });
    return { units: total * group.length, latencies: latencies.counts };
  },

  /**
   * Events at a constant rate, independent of the answers; the latency counts from the time when the event was due. `lags` are the
   * delays with which the generator sent them, which are not the server's.
   */
  async paced({ event = "echo", perSecond, durationMs, warmUpMs = 0 }) {
    const latencies = new Histogram();
    const lags = new Histogram();
    const frame = textFrame(`420["${event}","hello world"]`);
    const total = Math.max(1, Math.round((perSecond * durationMs) / 1000));
    const start = now() + 5;
    let answered = 0;
    const finished = new Promise((resolve) => {
      for (const client of clients) {
        client.due = [];
        client.onFrame = () => {
          const due = client.due.shift();
          if (due >= start + warmUpMs) latencies.add((now() - due) * 1000);
          if (++answered === total) resolve();
        };
      }
    });
    await sendPaced({ total, perSecond, start }, (client, due) => {
      client.due.push(due);
      lags.add((now() - due) * 1000);
      client.socket.write(frame);
    });
    await inTime(finished, "answers");
    return { units: total, latencies: latencies.counts, lags: lags.counts };
  },

  /** Messages to rooms at a constant rate, from all clients in turns; waits for those of all other members. */
  async pacedSay({ perSecond, durationMs, perRoom }) {
    const total = Math.max(1, Math.round((perSecond * durationMs) / 1000));
    const frame = textFrame('42["say","hello world"]');
    commands.count();
    await sendPaced({ total, perSecond, start: now() + 5 }, (client) => client.socket.write(frame));
    return commands.deliveries({ frames: total * (perRoom - 1) });
  },

  /** Chunks of events without acknowledgement; one echo at the end shows that they were received. */
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

  /** Starts counting frames. */
  count() {
    arrived = 0;
    expected = Infinity;
    stampedFrames = new Histogram();
    for (const [index, client] of clients.entries()) client.onFrame = index % 20 === 0 ? countAndCompare : countFrame;
  },

  /** Waits until every counting client has received `frames` frames since `count`. */
  arrived: ({ frames, without = 0 }) => commands.deliveries({ frames: frames * (clients.length - without) }),

  /** The same for `frames` of all counting clients together. */
  async deliveries({ frames: wanted }) {
    if (arrived < wanted) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${wanted - arrived} of ${wanted} frames are missing`)), TIME_LIMIT);
        expected = wanted;
        onArrived = () => (clearTimeout(timer), resolve());
      });
    }
    return { units: wanted, latencies: stampedFrames.counts };
  },

  /** Every client sends to its room, `times` times; each time it waits for the messages of all members. Begins with `count`. */
  async say({ times, perRoom }) {
    const frame = textFrame('42["say","hello world"]');
    for (let i = 1; i <= times; i++) {
      for (const client of clients) client.socket.write(frame);
      await commands.arrived({ frames: i * (perRoom - 1) });
    }
    return { units: times * clients.length * (perRoom - 1) };
  },

  /** Starts answering broadcasts that expect an acknowledgement. */
  answer() {
    for (const client of clients) {
      client.onFrame = (_client, data, start) => {
        if (data[start + 1] !== EVENT) return;
        client.socket.write(textFrame(`43${data.latin1Slice(start + 2, data.indexOf(91, start))}[1]`));
      };
    }
  },

  /**
   * Compares what the reading clients got since the last call with the documents of that size; `least` is the number for each of them.
   * @throws if one differs, or if there are fewer
   */
  async verify({ bytes, least }) {
    const readers = clients.filter(({ reader }) => reader != null);
    let checked = 0;
    for (const { reader } of readers) checked += checkDocuments(await reader.read(), bytes);
    if (readers.length === 0 || checked < readers.length * least) throw new Error(`${checked} documents were right`);
    return { units: checked };
  },

  /** Bytes that all clients have received. */
  received: () => ({ units: clients.reduce((sum, { bytes }) => sum + bytes, 0) }),

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

  /** The first `count` clients stop reading, and are excluded from counts. */
  stall({ count }) {
    stalled = clients.splice(0, count);
    for (const client of stalled) client.socket.pause().removeAllListeners("end");
  },

  /** These clients read again until the answer to a new question; returns the number of events that had waited for them. */
  async catchUp() {
    let events = 0;
    const question = textFrame('420["echo","hello world"]');
    const read = (client) =>
      new Promise((resolve) => {
        const ask = () => client.socket.write(question);
        const again = setInterval(ask, 200); // a server that drops messages for slow clients may drop the answer, too
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

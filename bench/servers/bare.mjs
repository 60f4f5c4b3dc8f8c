// The common parts of the hand-written servers: only as much of the two protocols as the scenarios need. A session answers through its
// `link` (`send(text)`, `sendReady(ready)`), which each server implements.
import { randomBytes } from "node:crypto";
import { MAX_PAYLOAD, PING_INTERVAL, tally } from "./common.mjs";

export const sessions = new Map();
export const rooms = new Map();

const EVENT = 50; // "2"
const ACK = 51; // "3"

export function openSession(link) {
  const session = { id: randomBytes(15).toString("base64url"), link, room: "", members: null };
  sessions.set(session.id, session);
  return session;
}

export function closeSession(session) {
  if (!sessions.delete(session.id)) return;
  session.members?.delete(session);
  if (session.joined) tally.connected--;
}

export function openPacket(session, upgrades) {
  return `0{"sid":"${session.id}","upgrades":${upgrades},"pingInterval":${PING_INTERVAL},"pingTimeout":20000,"maxPayload":${MAX_PAYLOAD}}`;
}

/** Handles one Engine.IO packet; passes events to `onEvent(session, ackId, text, start)`. */
export function take(session, text, onEvent) {
  if (text.charCodeAt(0) !== 52) return; // pongs
  const type = text.charCodeAt(1);
  if (type === EVENT) {
    let at = 2;
    while (text.charCodeAt(at) !== 91) at++;
    onEvent(session, text.slice(2, at), text, at);
  } else if (type === ACK) {
    countAnswer();
  } else if (type === 48) {
    session.joined = true;
    tally.connected++;
    session.link.send(`40{"sid":"${randomBytes(15).toString("base64url")}"}`);
  }
}

/** Parses and writes JSON, as a server for any program must. */
export function onEventWithJson(session, ackId, text, start) {
  const [name, value, payload] = JSON.parse(text.slice(start));
  if (name === "echo") session.link.send(`43${ackId}${JSON.stringify([value])}`);
  else if (name === "ingest") tally.ingested++;
  else if (name === "burst") for (let i = 0; i < value; i++) session.link.send(`42${JSON.stringify(["item", payload])}`);
  else if (name === "say") say(session, `42${JSON.stringify(["item", value])}`);
}

/** Parses only the necessary characters and copies the rest. */
export function onEventWithoutJson(session, ackId, text, start) {
  const letter = text.charCodeAt(start + 2);
  if (letter === 101) session.link.send(`43${ackId}[${text.slice(start + 8)}`);
  else if (letter === 105) tally.ingested++;
  else if (letter === 98) {
    const comma = text.indexOf(",", start + 9);
    const answer = `42["item",${text.slice(comma + 1)}`;
    for (let i = Number(text.slice(start + 9, comma)); i > 0; i--) session.link.send(answer);
  } else if (letter === 115) say(session, `42["item",${text.slice(start + 7)}`);
}

/** Set by the server: converts a text to the argument of `link.sendReady`; and the operations on rooms, if the library has rooms. */
export const means = { makeReady: (text) => text, publish: null };

function say(session, text) {
  if (means.publish !== null) return means.publish(session.room, text, session);
  const ready = means.makeReady(text);
  for (const member of session.members) if (member !== session) member.link.sendReady(ready);
}

/** The command `broadcast`, with the server's own tables of rooms. */
export function broadcastBare(payload, room) {
  const target = room === undefined ? sessions.values() : rooms.get(room);
  if (typeof payload === "string") {
    const ready = means.makeReady(`42${JSON.stringify(["item", payload])}`);
    for (const session of target) session.link.sendReady(ready);
  } else {
    const head = means.makeReady('451-["item",{"_placeholder":true,"num":0}]');
    const ready = means.makeReady(payload);
    for (const session of target) {
      session.link.sendReady(head);
      session.link.sendReady(ready);
    }
  }
}

export function assignBare(count) {
  let index = 0;
  for (const session of sessions.values()) {
    session.room = `room${index++ % count}`;
    if (!rooms.has(session.room)) rooms.set(session.room, new Set());
    session.members = rooms.get(session.room);
    session.members.add(session);
  }
}

let awaited = 0;
let onAllAnswered = null;

function countAnswer() {
  if (--awaited === 0) onAllAnswered();
}

export function askBare(number, send = defaultSend) {
  return new Promise((resolve) => {
    const total = sessions.size;
    awaited = total;
    onAllAnswered = () => resolve(total);
    send(`42${number}["ask",${number}]`);
  });
}

function defaultSend(text) {
  const ready = means.makeReady(text);
  for (const session of sessions.values()) session.link.sendReady(ready);
}

/**
 * Long-polling: the queue, and the pending response. `respond(response, body)` writes a body, `schedule` calls a function after the input
 * being read has been processed.
 */
export class PollLink {
  constructor(respond, schedule = process.nextTick) {
    this.respond = respond;
    this.schedule = schedule;
    this.queue = [];
    this.waiting = null;
    this.scheduled = false;
  }

  send(text) {
    this.queue.push(text);
    if (this.waiting === null || this.scheduled) return;
    this.scheduled = true;
    this.schedule(() => this.flush());
  }

  sendReady(ready) {
    this.send(String(ready.text ?? ready.data ?? ready));
  }

  poll(response) {
    this.waiting = response;
    if (this.queue.length > 0) this.flush();
  }

  flush() {
    this.scheduled = false;
    if (this.waiting === null || this.queue.length === 0) return;
    const response = this.waiting;
    const body = this.queue.length === 1 ? this.queue[0] : this.queue.join("\x1e");
    this.waiting = null;
    this.queue.length = 0;
    this.respond(response, body);
  }
}

/** Upgrades a polling session to `link`; returns the handler for the packets of the new transport. */
export function upgrader(session, link, onEvent) {
  return function onPacket(text) {
    if (session.link === link) return take(session, text, onEvent);
    if (text === "2probe") {
      link.send("3probe");
      if (session.link.waiting !== null) session.link.send("6");
    } else if (text === "5") {
      const { queue } = session.link;
      session.link = link;
      for (const packet of queue) link.send(packet);
    }
  };
}

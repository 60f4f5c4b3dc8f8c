// The requests to JetStream of NATS that the log needs: a stream, its last messages by subject, and all behind a position.
import { ignore } from "../../support/ignore";
import { within } from "../../support/within";
import type { Connection, NatsMessage } from "./connection";
import { Subjects } from "./subjects";

const ANSWER_MS = 5_000;
/** Messages of one fetch, and what all fetches of one reading may give. */
const FETCHED_AT_ONCE = 500;
const READ_MAX = 10_000;
const READ_BYTES_MAX = 64 * 1024 * 1024;
/** Codes of errors: https://docs.nats.io/reference/reference-protocols/nats_api_reference */
const NAME_IN_USE = 10058;
const NO_MESSAGE = 10037;
const NO_RESPONDERS = 503;

/** A message of the stream. */
export interface StoredMessage {
  readonly sequence: number;
  readonly bytes: Buffer;
}

type Reply = Record<string, any>;

/** Asks JetStream over the connection of a link, by replies to subjects of this node. */
export class JetStream {
  private readonly connection: Connection;
  private readonly subjects: Subjects;
  private readonly onReply = new Map<number, (message: NatsMessage, bytes: Buffer) => void>();
  private asked = 0;
  private uid = "";

  constructor(connection: Connection, subjects: Subjects) {
    this.connection = connection;
    this.subjects = subjects;
  }

  open(uid: string): void {
    this.uid = uid;
    this.connection.subscriptions.add(this.subjects.reply(uid, "*"), (bytes, subject, message) =>
      this.onReply.get(Subjects.number(subject))?.(message, bytes),
    );
  }

  /** Makes the stream, or gives the one that is there these limits. @returns when it was made first. @throws Error that says what to do */
  async ensureStream(config: Reply & { name: string }): Promise<string> {
    const made = await this.request(`STREAM.CREATE.${config.name}`, config);
    if (made["error"] === undefined) return String(made["created"]);
    if (made["error"].err_code !== NAME_IN_USE) throw errorOf(made);
    const updated = await this.request(`STREAM.UPDATE.${config.name}`, config);
    if (updated["error"] !== undefined) throw errorOf(updated);
    return String(updated["created"]);
  }

  /** Takes the last message of a subject, once: of several that do so at the same time one gets it; null for the others, or if there is none. */
  async take(stream: string, subject: string): Promise<Buffer | null> {
    const found = await this.request(`STREAM.MSG.GET.${stream}`, { last_by_subj: subject });
    if (found["error"]?.err_code === NO_MESSAGE) return null;
    if (found["error"] !== undefined) throw errorOf(found);
    const { seq, data } = found["message"] as { seq: number; data?: string };
    const deleted = await this.request(`STREAM.MSG.DELETE.${stream}`, { seq, no_erase: true });
    return deleted["success"] === true ? Buffer.from(data ?? "", "base64") : null;
  }

  /** All messages of a subject behind a position; null if some are gone, or there are too many. */
  async readAfter(stream: string, subject: string, sequence: number): Promise<StoredMessage[] | null> {
    const config = {
      deliver_policy: "by_start_sequence",
      opt_start_seq: sequence + 1,
      ack_policy: "none",
      filter_subject: subject,
      inactive_threshold: 10e9, // nanoseconds
      mem_storage: true,
      num_replicas: 1,
    };
    const consumer = await this.request(`CONSUMER.CREATE.${stream}`, { stream_name: stream, config });
    if (consumer["error"] !== undefined) throw errorOf(consumer);
    const count = Number(consumer["num_pending"]);
    const messages: StoredMessage[] = [];
    let bytes = 0;
    try {
      while (messages.length < count && count <= READ_MAX && bytes <= READ_BYTES_MAX) {
        const batch = await this.fetch(`${stream}.${consumer["name"]}`, Math.min(FETCHED_AT_ONCE, count - messages.length));
        for (const message of batch) bytes += message.bytes.length;
        messages.push(...batch);
      }
    } finally {
      this.request(`CONSUMER.DELETE.${stream}.${consumer["name"]}`).catch(ignore); // it ends by itself, too
    }
    if (messages.length < count) return null;
    const { state, error } = await this.request(`STREAM.INFO.${stream}`);
    const isComplete = error === undefined && state.first_seq - 1 <= sequence && sequence <= state.last_seq;
    return isComplete ? messages : null;
  }

  /** Messages come under the subjects that they were published to: each fetch has a subscription of its own. */
  private async fetch(consumer: string, batch: number): Promise<StoredMessage[]> {
    const messages: StoredMessage[] = [];
    const inbox = this.subjects.fetched(this.uid, ++this.asked);
    let end: (() => void) | undefined;
    const whole = new Promise<void>((resolve, reject) => {
      end = this.connection.subscriptions.add(inbox, (bytes, _, { reply, headers }) => {
        if (!reply) return reject(new Error(`JetStream: ${headers?.code ?? "no message"}`));
        messages.push({ sequence: sequenceOf(reply), bytes });
        if (messages.length === batch) resolve();
      });
      this.connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${consumer}`, Buffer.from(JSON.stringify({ batch, no_wait: true })), inbox);
    });
    try {
      await within(ANSWER_MS, whole);
    } finally {
      end?.();
    }
    return messages;
  }

  private async request(name: string, body: object = {}): Promise<Reply> {
    const number = ++this.asked;
    try {
      const replied = new Promise<[NatsMessage, Buffer]>((resolve) => this.onReply.set(number, (...reply) => resolve(reply)));
      this.connection.publish(`$JS.API.${name}`, Buffer.from(JSON.stringify(body)), this.subjects.reply(this.uid, number));
      const [{ headers }, bytes] = await within(ANSWER_MS, replied);
      if (headers?.code === NO_RESPONDERS)
        throw new Error("this NATS server has no JetStream: start it with -js, and enable it for the account");
      return JSON.parse(bytes.toString()) as Reply;
    } finally {
      this.onReply.delete(number);
    }
  }
}

/** The position in the stream, in the reply subject of a message: `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<times>.<position>.…` */
function sequenceOf(reply: string): number {
  const tokens = reply.split(".");
  return Number(tokens[tokens.length === 9 ? 5 : 7]);
}

function errorOf(reply: Reply): Error {
  return new Error(`JetStream: ${reply["error"].description}`);
}

// What a link has to do for the servers of a cluster, whatever carries its messages.
import { deepEqual, equal, ok } from "node:assert/strict";
import type { Channel, Link, Receiver } from "../cluster/link";
import { generateId } from "../support/ids";
import { pause } from "./expect";
import { declareFor, eventually, type After, type TestFunction } from "./suite";

/** What a suite for links needs. */
export interface LinkSuite {
  /** Of the link, for the titles. */
  name: string;
  /** `test` of node:test, Vitest or Jest. */
  test: TestFunction;
  /**
   * Starts a backend, and gives a function that makes a link to it; each link is a server of its own.
   * @param after  takes what has to be closed when the test ends, behind the links
   */
  start: (after: (cleanUp: () => unknown) => void) => Promise<() => Promise<Link> | Link>;
}

/** One server of a test, as far as a link sees it. */
interface Node {
  readonly uid: string;
  readonly link: Link;
  readonly pulses: unknown[];
  readonly direct: string[];
  /** Opens a namespace. */
  join(namespace: string): Member;
}

interface Member {
  readonly channel: Channel;
  readonly messages: any[];
  readonly responses: any[];
  /** Requests whose answers it waits for, by id. */
  readonly asked: Set<string>;
}

/** What a round of messages may take before it is looked at: each further round costs a broker. */
const ROUND_MS = 10;

const raw = Buffer.from([0, 1, 250]);
const message = (uid: string, data: unknown): any => ({
  uid,
  nsp: "/",
  type: 3,
  data: { opts: { rooms: [], except: [], flags: {} }, packet: { type: 2, nsp: "/", data } },
});
const dataOf = (messages: any[]): unknown[] => messages.map((each) => each.data.packet.data);

/**
 * Declares tests for a `Link`: that messages reach all servers of a namespace and nobody else, in order and with their bytes, that answers reach
 * the one that asked, and that nothing arrives after the end.
 * @example
 * testLink({ name: "my link", test, start: async (after) => {
 *   const broker = await startBroker();
 *   after(() => broker.stop());
 *   return () => new MyLink(broker.url);
 * } });
 */
export function testLink({ name, test, start }: LinkSuite): void {
  const declare = declareFor(test, name);

  const startNodes = async (after: After, count: number): Promise<Node[]> => {
    const makeLink = await start(after);
    const nodes: Node[] = [];
    for (let index = 0; index < count; index++) nodes.push(await startNode(after, await makeLink()));
    return nodes;
  };
  /** All know each other in a namespace: what each publishes reaches the others. */
  const joinAll = async (nodes: Node[], namespace: string): Promise<Member[]> => {
    const members = nodes.map((node) => node.join(namespace));
    await eventually(async () => {
      for (const [index, { channel }] of members.entries())
        await channel.publish(message(nodes[index].uid, ["hello", index])).catch(() => {});
      await pause(ROUND_MS);
      return members.every(({ messages }, own) =>
        members.every((_, other) => own === other || dataOf(messages).some((data: any) => data[1] === other)),
      );
    }, "the servers to hear each other");
    for (const { channel } of members) await channel.settled?.();
    return members;
  };
  const without = (messages: any[], ...texts: string[]): any[] => messages.filter((each) => !texts.includes(each.data.packet.data[0]));

  declare("brings a message to all servers of its namespace, in order and with its bytes", async (after) => {
    const nodes = await startNodes(after, 3);
    const members = await joinAll(nodes, "/");
    const [, other] = await joinAll(nodes, "/other");
    for (let index = 0; index < 50; index++) await members[0].channel.publish(message(nodes[0].uid, ["x", index, raw]));
    for (const { messages } of members.slice(1)) {
      await eventually(() => without(messages, "hello").length >= 50, "all messages");
      const got = without(messages, "hello");
      deepEqual(
        dataOf(got).map((data: any) => [data[1], Buffer.from(data[2]).toString("hex")]),
        Array.from({ length: 50 }, (_, index) => [index, raw.toString("hex")]),
      );
      for (const each of got) equal(each.uid, nodes[0].uid);
    }
    deepEqual(without(other.messages, "hello"), []);
  });

  declare("brings an answer to the server that asked, and to no other", async (after) => {
    const nodes = await startNodes(after, 3);
    const members = await joinAll(nodes, "/");
    const response: any = { uid: nodes[1].uid, nsp: "/", type: 9, data: { requestId: "r", packet: ["answer", raw] } };
    members[0].asked.add("r");
    await members[1].channel.respond(nodes[0].uid, response);
    await eventually(() => members[0].responses.length > 0, "the answer");
    await members[1].channel.publish(message(nodes[1].uid, ["behind"]));
    for (const { messages } of [members[0], members[2]])
      await eventually(() => without(messages, "hello").length > 0, "what is sent behind it");
    const [{ data }] = members[0].responses;
    deepEqual([data.requestId, data.packet[0], Buffer.from(data.packet[1])], ["r", "answer", raw]);
    deepEqual(
      members.map(({ responses }) => responses.length),
      [1, 0, 0],
    );
  });

  declare("carries a message of a megabyte", async (after) => {
    const nodes = await startNodes(after, 2);
    const members = await joinAll(nodes, "/");
    const text = "é".repeat(500_000);
    await members[0].channel.publish(message(nodes[0].uid, ["large", text]));
    await eventually(() => without(members[1].messages, "hello").length > 0, "the message");
    ok((dataOf(without(members[1].messages, "hello"))[0] as string[])[1] === text);
  });

  declare("brings pulses to the other servers, and back where it says so", async (after) => {
    const nodes = await startNodes(after, 2);
    await eventually(async () => {
      await nodes[0].link.sendPulse("pulse é").then(undefined, () => {});
      await pause(ROUND_MS);
      return nodes[1].pulses.length > 0 && (nodes[0].pulses.length > 0 || !nodes[0].link.hasEcho);
    }, "the pulse");
    equal(nodes[1].pulses[0], "pulse é");
  });

  declare("sends bytes to one server, in order, where it can", async (after) => {
    const nodes = await startNodes(after, 3);
    const { link } = nodes[0];
    await joinAll(nodes, "/");
    if (link.sendDirect === undefined) return;
    for (let index = 0; index < 20; index++) await link.sendDirect(nodes[1].uid, Buffer.from([index, 255]));
    await eventually(() => nodes[1].direct.length >= 20, "the bytes");
    deepEqual(
      nodes[1].direct,
      Array.from({ length: 20 }, (_, index) => Buffer.from([index, 255]).toString("hex")),
    );
    deepEqual(nodes[2].direct, []);
  });

  declare("brings nothing to a namespace that was closed", async (after) => {
    const nodes = await startNodes(after, 3);
    const members = await joinAll(nodes, "/");
    await members[1].channel.close();
    await eventually(async () => {
      const before = members[1].messages.length;
      const seen = members[2].messages.length;
      await members[0].channel.publish(message(nodes[0].uid, ["hello", 0]));
      await eventually(() => members[2].messages.length > seen, "the message");
      return members[1].messages.length === before;
    }, "the channel to be closed");
  });
}

async function startNode(after: After, link: Link): Promise<Node> {
  const uid = generateId();
  const node: Node = { uid, link, pulses: [], direct: [], join };
  const channels: Channel[] = [];
  const malformed: unknown[] = [];
  const ignore = (): void => {};
  await link.open(
    {
      onPulse: (text) => node.pulses.push(text),
      onDirect: (bytes) => node.direct.push(Buffer.from(bytes).toString("hex")),
      onUp: ignore,
      onDown: ignore,
      onMalformed: (reason) => malformed.push(reason),
      onProblem: ignore,
      onGone: ignore,
      onLost: ignore,
    },
    uid,
  );
  after(async () => {
    for (const channel of channels) await channel.close();
    await link.close();
  });
  after(() => deepEqual(malformed, [], "the link could not decode what arrived"));
  return node;

  function join(namespace: string): Member {
    const messages: any[] = [];
    const responses: any[] = [];
    const asked = new Set<string>();
    const receiver: Receiver = {
      uid,
      namespace,
      onMessage: (each: any) => {
        if (each.uid !== uid) messages.push(each);
      },
      onResponse: (response) => responses.push(response),
      hasRoom: () => true,
      isWaitingFor: (requestId) => asked.has(requestId),
      isOwnNode: () => true,
      onNodeGone: ignore,
    };
    const channel = link.channel(receiver);
    channels.push(channel);
    return { channel, messages, responses, asked };
  }
}

// A client of a Redis Cluster of the package `redis` 4 or 5.
import { ClusterError } from "../../errors";
import { within } from "../../support/within";
import type { Kind, RedisClient } from "./client";
import { countOn, type NodeRedis, NodeRedisClient, type NodeRedisCommands } from "./node-redis";
import { slotOf } from "./slot";

interface NodeCommands extends NodeRedisCommands {
  clusterSlots(): Promise<{ master: { id: string } }[]>;
}

/** A connection to a node. Until it is connected, redis 4 has a promise as `client`, and redis 5 as `connectPromise`. */
interface Connection {
  readonly client?: NodeCommands | Promise<NodeCommands> | undefined;
  readonly connectPromise?: unknown;
}

interface Node extends Connection {
  readonly id: string;
  /** The connection for sharded channels, in redis 5 and in redis 4. */
  readonly pubSub?: Connection;
  readonly pubSubClient?: Connection["client"];
}

/** The members that are used of it, beside those of every client. */
export interface NodeRedisCluster extends NodeRedis {
  readonly masters: readonly Node[];
  readonly replicas: readonly Node[];
  readonly slots: readonly { readonly master: Node }[];
  /** The connection for channels and patterns. */
  readonly pubSubNode?: Connection;
  nodeClient(node: Node): NodeCommands | Promise<NodeCommands>;
}

/**
 * The driver knows the nodes that were there when it connected. It asks for them again when a node refuses a command, not when a node is away:
 * commands for that one wait in it for good, and so do subscriptions. Therefore nothing is sent to a node that is away, and another client
 * takes the place of this one when the cluster has replaced that node.
 */
export class NodeRedisClusterClient extends NodeRedisClient {
  override readonly isCluster = true;
  declare protected readonly client: NodeRedisCluster;
  /** Where channels are published: at one node, so that the order is kept. */
  private publishesAt: NodeCommands | null = null;

  override get isDuplex(): boolean {
    return true;
  }

  override get isReady(): boolean {
    return this.client.isOpen && !this.client.masters.every(isAway);
  }

  override get canHear(): boolean {
    const { isOpen, masters, pubSubNode } = this.client;
    return isOpen && !isAway(pubSubNode) && !masters.some(({ pubSub, pubSubClient }) => isAway(pubSub ?? { client: pubSubClient }));
  }

  override get replace(): RedisClient["replace"] {
    return (ms) => this.connectAnother(ms);
  }

  override get isWhole(): boolean {
    return !this.client.masters.some(isAway);
  }

  override publish(kind: Kind, channel: string, payload: string | Buffer): Promise<number> {
    if (kind !== "shard") return this.nodeToPublishAt().publish(channel, payload);
    return this.hasNodeOf(channel) ? super.publish(kind, channel, payload) : Promise.reject(notConnected());
  }

  override async command(key: string, args: readonly string[]): Promise<unknown> {
    if (this.opening !== null) await this.opening; // until then it knows no nodes
    this.opening = null;
    if (!this.hasNodeOf(key)) throw notConnected();
    return this.client.sendCommand(key, false, args);
  }

  private hasNodeOf(key: string): boolean {
    return !isAway(this.client.slots[slotOf(key)]?.master);
  }

  private nodeToPublishAt(): Pick<NodeCommands, "publish"> {
    if (this.publishesAt?.isReady !== true) {
      const ready = this.readyNodes();
      this.publishesAt = ready[Math.floor(Math.random() * ready.length)] ?? null;
    }
    return this.publishesAt ?? this.client; // which connects to a node, with `minimizeConnections`
  }

  private readyNodes(): NodeCommands[] {
    return this.client.masters
      .map(({ client }) => client)
      .filter((client) => client !== undefined && "isReady" in client && client.isReady === true) as NodeCommands[];
  }

  override async countSubscribers(kind: Kind, channel: string): Promise<number> {
    const { client } = this;
    const nodes = [...client.masters, ...client.replicas].filter((node) => !isAway(node));
    const counts = await Promise.allSettled(nodes.map(async (node) => countOn(await client.nodeClient(node), kind, channel)));
    return counts.reduce((sum, result) => sum + (result.status === "fulfilled" ? result.value : 0), 0);
  }

  /** Another client would wait for a node that is away as long as the cluster names it. */
  protected override async connectAnother(ms: number): Promise<RedisClient> {
    const [node] = this.readyNodes();
    if (node !== undefined) {
      const named = new Set((await within(ms, node.clusterSlots())).map(({ master }) => master.id));
      const isNamed = this.client.masters.some((master) => isAway(master) && named.has(master.id));
      if (isNamed) throw new Error("no replica has taken the place of a node that is away");
    }
    return super.connectAnother(ms);
  }

  protected override another(client: NodeRedis): NodeRedisClient {
    return new NodeRedisClusterClient(client, true);
  }
}

function notConnected(): ClusterError {
  return new ClusterError("RC_ERR_CLUSTER_LINK", "a node of the Redis Cluster is not connected");
}

/** Whether a connection that was there is not. */
function isAway(connection: Connection | undefined): boolean {
  return connection?.connectPromise === undefined && (connection?.client as NodeCommands | undefined)?.isReady === false;
}

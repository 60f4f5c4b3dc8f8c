// Nodes that die or are stopped while others ask and broadcast, by adapter.
import assert from "node:assert/strict";
import { declareFault, pause } from "./faults.js";

/** Asks all nodes in three ways; gives for each `{ ms, answers }`, or `{ ms, error, answers }` where the error has some. */
async function askAll({ io }) {
  const from = Date.now();
  const outcome = (promise, count) =>
    promise.then(
      (value) => ({ ms: Date.now() - from, answers: count(value) }),
      (error) => ({ ms: Date.now() - from, error: error.message, answers: error.responses?.length ?? error.sockets?.length }),
    );
  const [sockets, clients, servers] = await Promise.all([
    outcome(io.fetchSockets(), (found) => found.length),
    outcome(io.timeout(2000).emitWithAck("ask"), (answers) => answers.length),
    outcome(io.serverSideEmitWithAck("ask"), (answers) => answers.length),
  ]);
  return { sockets, clients, servers };
}

const hasError = (outcomes) => Object.values(outcomes).some(({ error }) => error !== undefined);

for (const kind of ["redis", "postgres", "nats", "node:cluster"]) {
  declareFault(
    `a node dies while another waits for its answer (${kind})`,
    "MIX-7, RED-14",
    kind,
    async (service, stream, t) => {
      const { nodes, clients } = stream;
      const [asker, other, dead] = nodes;
      for (const node of [asker, other]) await node.run(({ io }) => void io.on("ask", (answer) => answer(1)));
      for (const client of clients) client.on("ask", (answer) => answer(1));
      dead.isMeantToEnd = true;
      stream.hurt();
      dead.signal("SIGSTOP");
      const waiting = asker.run(askAll);
      await pause(300);
      await dead.kill();
      const diedAt = Date.now();
      const meanwhile = await waiting;
      let refused = 0;
      while (hasError(await asker.run(askAll)) && Date.now() - diedAt < 30_000) refused++;
      const answeredAt = Date.now();
      stream.heal();
      // Its clients connect elsewhere, and another node takes its place.
      await stream.isHeardAt(other);
      const replacement = await stream.startNode(t);
      await stream.counts(asker, 3);
      await stream.isHeardAt(replacement);
      return { "asked meanwhile": meanwhile, "rounds refused later": refused, "until all is answered, ms": answeredAt - diedAt };
    },
    {
      nodes: 3,
      mustSee: false,
      check(figures) {
        const { sockets, clients, servers } = figures["asked meanwhile"];
        assert.deepEqual([sockets.answers, clients.answers, servers.answers], [2, 2, 1], "what arrived is not thrown away");
      },
    },
  );

  declareFault(
    `a node is stopped for longer than its heartbeat, and continued (${kind})`,
    "MIX-7",
    kind,
    async (service, stream) => {
      const stopped = stream.nodes[2];
      stream.hurt();
      stopped.signal("SIGSTOP");
      await pause(6000);
      stopped.signal("SIGCONT");
      stream.heal();
      await stream.counts(stream.nodes[0], 3);
    },
    { nodes: 3, mustSee: false },
  );
}

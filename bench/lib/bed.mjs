// A test bed: one server process, load generators on other cores, and the measurement of both.
import { Histogram } from "./stats.mjs";
import { startChild } from "./child.mjs";

const local = (path) => new URL(`../${path}`, import.meta.url).pathname;

const sum = (list) => list.reduce((total, value) => total + value, 0);

/** The load generators. A command is sent to all of them, each with its share of `count` clients. */
export class Load {
  constructor(workers) {
    this.workers = workers;
  }

  static async start({ cores, processes = cores.length }) {
    const start = (_, i) => startChild({ script: local("load/worker.mjs"), core: cores[i % cores.length] });
    return new Load(await Promise.all(Array.from({ length: processes }, start)));
  }

  /** Divides the numbers named in `shared` among the workers. */
  async run(name, argument = {}, shared = []) {
    const results = await Promise.all(
      this.workers.map((worker, index) => {
        const own = { ...argument };
        for (const key of shared) own[key] = share(argument[key], this.workers.length, index);
        return worker.command(name, own);
      }),
    );
    const merged = (key) => {
      const all = new Histogram();
      for (const result of results) all.merge(result?.[key] ?? []);
      return all;
    };
    return { units: sum(results.map((result) => result?.units ?? 0)), latencies: merged("latencies"), lags: merged("lags") };
  }

  /** Microseconds of work of each generator so far. */
  work() {
    return Promise.all(this.workers.map((worker) => worker.command("work")));
  }

  stop() {
    return Promise.all(this.workers.map((worker) => worker.stop()));
  }
}

function share(total, parts, index) {
  return Math.floor(total / parts) + (index < total % parts ? 1 : 0);
}

export class Bed {
  /** @param settings  `{ scale, warmupMs }` */
  constructor(server, load, settings) {
    this.server = server;
    this.load = load;
    this.port = server.ready.port;
    this.settings = settings;
    this.tls = settings.tls ?? false;
  }

  /** Uses the first `count` generators only. */
  useGenerators(count) {
    this.load = new Load(this.load.workers.slice(0, count));
  }

  scaled(count, least = 1) {
    return Math.max(least, Math.round(count * this.settings.scale));
  }

  open(count, options = {}) {
    return this.load.run("open", { port: this.port, tls: this.tls, count, ...options }, ["count"]);
  }

  close() {
    return this.load.run("close");
  }

  /** Repeats `work` until the compiler has had time to optimise. */
  async warmUp(work) {
    const until = performance.now() + this.settings.warmupMs;
    do await work();
    while (performance.now() < until);
  }

  /** Measures the cost of `work` for the server and the load generators. */
  async measure(work) {
    const [loadBefore, { cpu: before }] = await Promise.all([this.load.work(), this.server.command("cpu")]);
    const start = performance.now();
    const result = await work();
    const wallUs = (performance.now() - start) * 1000;
    const { cpu: after } = await this.server.command("cpu");
    const loadAfter = await this.load.work();
    return {
      units: result.units,
      user: after.user - before.user,
      system: after.system - before.system,
      wallUs,
      loadBusy: Math.max(...loadAfter.map((spent, i) => (spent - loadBefore[i]) / wallUs)),
      p50: result.latencies?.quantile(0.5) ?? null,
      p99: result.latencies?.quantile(0.99) ?? null,
      lag: result.lags?.quantile(0.99) ?? null,
    };
  }
}

export async function startServer({ script, config = {}, nodeArgs = [] }, { node, core, options = {}, host, isNode = false } = {}) {
  const merged = { ...config, isNode, ...(host === undefined ? {} : { host }), options: { ...options, ...config.options } };
  return startChild({ script: local(script), args: [JSON.stringify(merged)], nodeArgs: ["--expose-gc", ...nodeArgs], node, core });
}

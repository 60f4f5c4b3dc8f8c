// Metrics for Prometheus, through the package prom-client of the program.
import type { Server } from "../server/server";
import { expectOption } from "./expect-option";
import { instrument, type Backend, type Definition, type MetricsOptions, type Read } from "./instruments";

type Metric = new (configuration: any) => any;

/** What is needed of the module `prom-client`. */
export interface PrometheusClient {
  readonly Counter: Metric;
  readonly Gauge: Metric;
  readonly Histogram: Metric;
  readonly register: PrometheusRegistry;
}

/** What is needed of a registry of `prom-client`. */
export interface PrometheusRegistry {
  registerMetric(metric: any): void;
  removeSingleMetric(name: string): void;
}

/** Options of `prometheusMetrics`. */
export interface PrometheusOptions extends MetricsOptions {
  /** The module `prom-client`, version 14 or 15. */
  client: PrometheusClient;
  /** The registry that gets the metrics. Default: the one of the module, `client.register`. */
  registry?: PrometheusRegistry;
  /**
   * What all names begin with. Default `roomcast_`. Two servers of one process need two registries or two prefixes.
   * @example
   * prefix: "chat_"
   */
  prefix?: string;
}

/**
 * Registers the metrics of a server; docs/observability.md lists them. Figures that the server knows are read when they are scraped; the others are
 * counted from now on.
 * @returns removes them from the registry and ends the counting
 * @throws UsageError RC_ERR_OPTION; the error of prom-client if a name is registered already. Nothing is registered or counted then
 * @example
 * import * as client from "prom-client";
 * prometheusMetrics(io, { client });
 * app.get("/metrics", async (req, res) => res.type(client.register.contentType).send(await client.register.metrics()));
 */
export function prometheusMetrics(io: Server<any, any, any, any>, options: PrometheusOptions): () => void {
  expectOption("prometheusMetrics", typeof options === "object" && options !== null, "an object with the option client", options);
  expectOption("prometheusMetrics, client", isClient(options.client), "the module prom-client", options.client);
  const { client, registry = client.register, prefix = "roomcast_" } = options;
  expectOption("prometheusMetrics, registry", isRegistry(registry), "a Registry of prom-client", registry);
  const isPrefix = typeof prefix === "string" && /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(prefix);
  expectOption("prometheusMetrics, prefix", isPrefix, "letters, digits and _", prefix);
  const names: string[] = [];
  const register = (Kind: Metric, { name, help, label, buckets }: Definition, suffix: string, collect?: (this: any) => void): any => {
    const metric = new Kind({
      name: prefix + name + suffix,
      help,
      labelNames: label === undefined ? [] : [label],
      registers: [registry],
      ...(buckets === undefined ? {} : { buckets: [...buckets] }),
      ...(collect === undefined ? {} : { collect }),
    });
    names.push(prefix + name + suffix); // only now: a name that was there before stays
    return metric;
  };
  const unregister = (): void => {
    for (const name of names.splice(0)) registry.removeSingleMetric(name);
  };
  const readable = (Kind: Metric, suffix: string, record: "set" | "inc") => (definition: Definition, read: Read) =>
    register(Kind, definition, suffix, function () {
      this.reset();
      if (definition.label === undefined) this.remove(); // else a metric without a value would be 0
      read((value, labels) => this[record](labels, value));
    });
  const backend: Backend = {
    gauge: readable(client.Gauge, "", "set"),
    counter: readable(client.Counter, "_total", "inc"),
    histogram: (definition) => {
      const histogram = register(client.Histogram, definition, "");
      return (value, labels) => histogram.observe(labels, value);
    },
  };
  let stop: () => void;
  try {
    stop = instrument("prometheusMetrics", io, backend, options);
  } catch (error) {
    unregister();
    throw error;
  }
  return () => {
    stop();
    unregister();
  };
}

function isClient(client: unknown): boolean {
  const { Counter, Gauge, Histogram, register } = (client ?? {}) as Partial<PrometheusClient>;
  return [Counter, Gauge, Histogram].every((kind) => typeof kind === "function") && isRegistry(register);
}

function isRegistry(registry: unknown): boolean {
  const { registerMetric, removeSingleMetric } = (registry ?? {}) as Record<string, unknown>;
  return typeof registerMetric === "function" && typeof removeSingleMetric === "function";
}

// Metrics and spans for OpenTelemetry, through the package @opentelemetry/api of the program.
import type { Server } from "../server/server";
import { ownVersion } from "../support/own-version";
import { expectOption } from "./expect-option";
import { instrument, type Backend, type Definition, type MetricsOptions, type Read } from "./instruments";
import { traceServer, type SpanOptions } from "./spans";

/** What is needed of the module `@opentelemetry/api`, from version 1.3 on. */
export interface OpenTelemetryApi {
  readonly metrics: { getMeter(name: string, version?: string): any };
  readonly trace: { getTracer(name: string, version?: string): any; setSpan(context: any, span: any): any };
  readonly context: { active(): any; with(context: any, work: () => void): void };
  readonly propagation: { inject(context: any, carrier: object): void; extract(context: any, carrier: object): any };
  readonly SpanKind: { readonly SERVER: any; readonly INTERNAL: any; readonly PRODUCER: any; readonly CONSUMER: any };
  readonly SpanStatusCode: { readonly ERROR: any };
}

/** Options of `openTelemetryMetrics`. */
export interface OpenTelemetryMetricsOptions extends MetricsOptions {
  /** The module `@opentelemetry/api`. */
  api: OpenTelemetryApi;
  /**
   * Attributes that each value gets besides its own. The second server of a process needs some: without them, one of the servers takes the place of the
   * other. Default none.
   * @example
   * attributes: { "service.component": "chat" }
   */
  attributes?: Readonly<Record<string, string | number | boolean>>;
}

/** Options of `openTelemetrySpans`. */
export interface OpenTelemetrySpansOptions extends SpanOptions {
  /** The module `@opentelemetry/api`. */
  api: OpenTelemetryApi;
}

/** Metrics that have a name in the semantic conventions. */
const CONVENTIONS: Record<string, string> = { event_duration_seconds: "messaging.process.duration" };
const LABELS: Record<string, string> = { namespace: "messaging.destination.name", event: "roomcast.event" };

/**
 * Records the metrics of a server with the global meter provider; docs/observability.md lists them.
 * @returns ends it
 * @throws UsageError RC_ERR_OPTION, or what the meter throws; nothing is recorded then
 * @example
 * import * as api from "@opentelemetry/api";
 * openTelemetryMetrics(io, { api });
 */
export function openTelemetryMetrics(io: Server<any, any, any, any>, options: OpenTelemetryMetricsOptions): () => void {
  const { api, attributes = {} } = expectApi("openTelemetryMetrics", options);
  expectOption("openTelemetryMetrics, attributes", areAttributes(attributes), "an object of texts, numbers and booleans", attributes);
  const meter = api.metrics.getMeter("roomcast", ownVersion());
  const attributesOf = (labels: Record<string, string>): object => ({ ...attributes, ...ownAttributesOf(labels) });
  const ends: (() => void)[] = [];
  const end = (): void => {
    for (const one of ends.splice(0)) one();
  };
  const observable = (kind: string) => (definition: Definition, read: Read) => {
    const instrument = meter[kind](nameOf(definition), { description: definition.help, unit: definition.unit });
    const callback = (result: any): void => read((value, labels) => result.observe(value, attributesOf(labels)));
    instrument.addCallback(callback);
    ends.push(() => instrument.removeCallback(callback));
  };
  const backend: Backend = {
    gauge: observable("createObservableGauge"),
    counter: observable("createObservableCounter"),
    histogram: (definition) => {
      const advice = { explicitBucketBoundaries: [...definition.buckets!] };
      const histogram = meter.createHistogram(nameOf(definition), { description: definition.help, unit: definition.unit, advice });
      return (value, labels) => histogram.record(value, attributesOf(labels));
    },
  };
  try {
    ends.push(instrument("openTelemetryMetrics", io, backend, options));
  } catch (error) {
    end();
    throw error;
  }
  return end;
}

/**
 * Makes spans of a server with the global tracer provider: handshakes, middlewares, events, acknowledgements and broadcasts, the latter over all
 * servers. docs/observability.md lists names and attributes.
 * @returns ends it
 * @throws UsageError RC_ERR_OPTION
 * @example
 * import * as api from "@opentelemetry/api";
 * openTelemetrySpans(io, { api });
 */
export function openTelemetrySpans(io: Server<any, any, any, any>, options: OpenTelemetrySpansOptions): () => void {
  const { api } = expectApi("openTelemetrySpans", options);
  return traceServer(io, api, api.trace.getTracer("roomcast", ownVersion()), options);
}

function nameOf({ name }: Definition): string {
  return CONVENTIONS[name] ?? `roomcast.${name.replace(/_seconds$/, "")}`;
}

function ownAttributesOf(labels: Record<string, string>): Record<string, string> {
  const attributes: Record<string, string> = { "messaging.system": "socket.io" };
  for (const [label, value] of Object.entries(labels)) attributes[LABELS[label] ?? label] = value;
  return attributes;
}

function expectApi<Options extends { api: OpenTelemetryApi }>(who: string, options: Options): Options {
  const api = options?.api as Partial<OpenTelemetryApi> | undefined;
  const { metrics, trace, context, propagation, SpanKind, SpanStatusCode } = api ?? {};
  const functions = [
    metrics?.getMeter,
    trace?.getTracer,
    trace?.setSpan,
    context?.active,
    context?.with,
    propagation?.inject,
    propagation?.extract,
  ];
  const isApi = functions.every((one) => typeof one === "function") && SpanKind !== undefined && SpanStatusCode !== undefined;
  expectOption(`${who}, api`, isApi, "the module @opentelemetry/api", api);
  return options;
}

function areAttributes(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((one) => typeof one === "string" || typeof one === "number" || typeof one === "boolean");
}

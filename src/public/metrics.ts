/*
 * The entry `roomcast/metrics`: metrics for Prometheus and OpenTelemetry, and spans.
 */
export { prometheusMetrics, type PrometheusClient, type PrometheusOptions, type PrometheusRegistry } from "../metrics/prometheus";
export {
  openTelemetryMetrics,
  openTelemetrySpans,
  type OpenTelemetryApi,
  type OpenTelemetryMetricsOptions,
  type OpenTelemetrySpansOptions,
} from "../metrics/opentelemetry";
export type { MetricsOptions } from "../metrics/instruments";
export type { SpanOptions } from "../metrics/spans";
export type { Channels } from "../metrics/subscriptions";

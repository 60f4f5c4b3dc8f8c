/** The entry `roomcast/metrics`, and the messages of diagnostics channels. */
import { subscribe } from "node:diagnostics_channel";
import { Server } from "socket.io";
import {
  openTelemetryMetrics,
  openTelemetrySpans,
  prometheusMetrics,
  type Channels,
  type OpenTelemetryApi,
  type PrometheusClient,
  type PrometheusOptions,
} from "socket.io/metrics";

declare const client: PrometheusClient;
declare const api: OpenTelemetryApi;

const io = new Server<{ ask: (answer: (value: number) => void) => void }>();
const options: PrometheusOptions = { client, registry: client.register, prefix: "chat_", events: ["ask"] };
const stop: () => void = prometheusMetrics(io, options);
stop();
openTelemetryMetrics(io, { api, events: ["ask"] })();
openTelemetrySpans(io, { api, carrierOf: ({ event, args }) => (event === "ask" ? (args[0] as Record<string, string>) : undefined) })();

// @ts-expect-error: the module is missing
prometheusMetrics(io, {});
// @ts-expect-error: no such option
prometheusMetrics(io, { client, labels: [] });
// @ts-expect-error: the module is missing
openTelemetrySpans(io, {});

subscribe("roomcast:session:close", (message) => {
  const { session, reason } = message as Channels["roomcast:session:close"];
  const id: string = session.id;
  const isTimeout: boolean = reason === "ping timeout";
  void [id, isTimeout];
});
subscribe("roomcast:event:start", (message) => {
  const event = message as Channels["roomcast:event:start"];
  const name: string = event.socket.nsp.name;
  event.run = (work) => work();
  // @ts-expect-error: not theirs to change
  event.args = [];
  void name;
});
subscribe("roomcast:broadcast:start", (message) => {
  (message as Channels["roomcast:broadcast:start"]).trace = { traceparent: "" };
});

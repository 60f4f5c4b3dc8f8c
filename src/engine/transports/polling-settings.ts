// The settings of polling transports, from the options of their engine.
import { cookieFor } from "../cookie";
import { Compression } from "../http-compression";
import type { CookieOptions, ResolvedEngineOptions } from "../options";
import type { InputTotal } from "../totals";
import type { PollingSettings } from "./polling";

/** @throws for an invalid name or attribute of the cookie */
export function pollingSettingsOf(
  opts: ResolvedEngineOptions,
  inputTotal: InputTotal,
  decorateHeaders: PollingSettings["decorateHeaders"],
): PollingSettings {
  const { httpCompression, cookie } = opts;
  if (cookie) cookieFor(cookie as CookieOptions, "");
  return {
    bodyLimits: () => ({
      bytes: Number(opts.maxHttpBufferSize),
      chunks: opts.maxBufferedChunks,
      timeoutMs: opts.httpRequestBodyTimeout,
      inputTotal,
    }),
    overlapStatus: 400,
    maxPackets: opts.maxPacketsPerPayload,
    writesAtOnce: opts.flush === "immediate",
    compression: httpCompression ? new Compression(httpCompression as { threshold: number }, opts.flush === "immediate") : null,
    decorateHeaders,
    handshakeHeaders: (sid) => (cookie ? { "Set-Cookie": [cookieFor(cookie as CookieOptions, sid)] } : null),
  };
}

// POSTs that have crossed the end of their session: while a server drains they are no error (ROB-928).
import type { Exchange, ResponseHeaders } from "./host";
import type { Session } from "./session";
import type { PollingSettings } from "./transports/polling";

/** The head of the answer to a POST. */
export const OK_HEADERS = { "Content-Type": "text/html", "Content-Length": 2, "cache-control": "no-store" };

/**
 * Answers a POST whose packets come too late.
 * @param decorate  lets users add headers; false when they can't be sent
 */
export function answerLatePost(exchange: Exchange, decorate: (headers: ResponseHeaders) => boolean): void {
  const headers: ResponseHeaders = { ...OK_HEADERS };
  if (decorate(headers)) exchange.refuse(200, headers, "ok");
  else exchange.refuse(500, null, "");
}

/** The polling sessions that have ended since the server began to drain or close. */
export class LatePosts {
  private readonly sids = new Set<string>();
  private readonly settings: Pick<PollingSettings, "decorateHeaders">;

  constructor(settings: Pick<PollingSettings, "decorateHeaders">) {
    this.settings = settings;
  }

  onSessionEnd({ id, transport }: Session): void {
    if (transport.name === "polling") this.sids.add(id);
  }

  clear(): void {
    this.sids.clear();
  }

  /** Answers a POST of one of these sessions. @returns false for anything else */
  answer(exchange: Exchange): boolean {
    if (exchange.method !== "POST" || !this.sids.has(exchange.request._query["sid"])) return false;
    answerLatePost(exchange, (headers) => this.settings.decorateHeaders(headers, exchange, false));
    return true;
  }
}

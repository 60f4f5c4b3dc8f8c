// Answers of the dashboard, and the bodies that it reads.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { PageFile } from "./page";

/** Only what this server has sent may run, load or frame anything. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS = {
  "Content-Security-Policy": POLICY,
  "X-Frame-Options": "DENY",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-store",
};
const BODY_MAX = 64 * 1024;

/** Sends one answer. Nothing is sent for a client that has left. */
export class Reply {
  private readonly request: IncomingMessage;
  private readonly response: ServerResponse;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.response = response;
  }

  file({ type, text }: PageFile, status = 200, headers: Record<string, string | number> = {}): void {
    const { response } = this;
    if (response.destroyed || response.headersSent) return;
    response.writeHead(status, { ...HEADERS, "Content-Type": type, "Content-Length": Buffer.byteLength(text), ...headers });
    response.end(this.request.method === "HEAD" ? undefined : text);
  }

  text(status: number, text: string, headers?: Record<string, string | number>): void {
    this.file({ type: "text/plain; charset=utf-8", text: `${text}\n` }, status, headers);
  }

  json(value: unknown, status = 200): void {
    this.file({ type: "application/json; charset=utf-8", text: JSON.stringify(value) }, status);
  }

  /** Answers a body that is too large, and ends the connection where one is there for this request alone. */
  tooLarge(): void {
    this.text(413, "The request is too large.", this.request.httpVersionMajor === 1 ? { Connection: "close" } : {});
  }

  /** Another GET request follows, to a place relative to this one: a proxy may have another path in front. */
  redirect(location: string, headers: Record<string, string> = {}): void {
    this.file({ type: "text/plain; charset=utf-8", text: "" }, 303, { ...headers, Location: location });
  }
}

/** @returns the body; null as soon as it is larger than 64 KiB: the rest is read and thrown away. Rejects if the client leaves before its end */
export function readBody(request: IncomingMessage): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= BODY_MAX) chunks.push(chunk);
      else resolve(null);
    });
    request.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    request.on("error", reject);
    request.on("close", () => reject(new Error("the client left before the end of its request")));
  });
}

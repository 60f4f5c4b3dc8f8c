// The option `origins`: which pages may open sessions (ROB-190 to ROB-194).
import type { IncomingHttpHeaders } from "node:http";
import { UsageError } from "../errors";
import { ask } from "../support/ask";
import type { Warnings } from "../support/warnings";
import { ERRORS, refuse, type Refusal } from "./verification";

/** Decides about an origin: calls `callback(error, isAllowed)`, now or later. A function for `cors.origin` can be used. */
export type OriginFunction = (origin: string, callback: (error: Error | null, isAllowed?: boolean) => void) => void;

/** Values of the option `origins`; `"same"` allows the origin with the host of the request. */
export type OriginsOption = string | RegExp | readonly (string | RegExp)[] | OriginFunction;

/** Origin and host of a handshake, from its headers. */
export interface HandshakeOrigin {
  /** `Origin`. A page's request without it (ROB-192): the origin of `Referer`, else null. Undefined: the client isn't a page. */
  readonly origin: string | null | undefined;
  /** `Host` or `:authority`. */
  readonly host: string | undefined;
}

/** How handshakes are decided: by a list at once, or by the function of the application. */
type Decision = { readonly allows: (from: HandshakeOrigin) => boolean } | { readonly ask: OriginFunction };

/** The option `origins` of one engine. Clients that are not pages send no origin and are allowed (ROB-191). */
export class Origins {
  private readonly by: Decision;
  private readonly warnings: Warnings;

  private constructor(by: Decision, warnings: Warnings) {
    this.by = by;
    this.warnings = warnings;
  }

  /** @returns null where every origin is allowed */
  static from(option: unknown, warnings: Warnings): Origins | null {
    const by = decisionOf(option);
    return by === null ? null : new Origins(by, warnings);
  }

  /** Checks a handshake. @param done  called once, with the refusal, or null */
  check(from: HandshakeOrigin, done: (refusal: Refusal | null) => void): void {
    const { by } = this;
    const { origin } = from;
    const settle = (isAllowed: boolean): void => done(isAllowed ? null : refuse(ERRORS.FORBIDDEN, { name: "ORIGIN_NOT_ALLOWED", origin }));
    if (origin === undefined) return settle(true);
    if ("allows" in by) return settle(by.allows(from));
    if (origin === null) return settle(false);
    const warn = (error: unknown): void =>
      this.warnings.warn("ROOMCAST_CALLBACK_FAILED", "the function of the option origins failed", error);
    ask<[error: Error | null, isAllowed?: boolean]>((answer) => by.ask(origin, answer), {
      onAnswer: (error, isAllowed) => settle(!error && Boolean(isAllowed)),
      onFailure: (error) => {
        warn(error);
        done(refuse(ERRORS.BAD_REQUEST, { name: "ORIGINS_FAILURE", error }));
      },
      onLateFailure: warn,
    });
  }

  /** Checks a WebTransport session by the headers of its CONNECT request; refuses it without them (ROB-194). */
  allowsWebTransport(headers: Readonly<Record<string, unknown>> | undefined): Promise<boolean> {
    if (headers === undefined) {
      const text =
        "a WebTransport session was closed: with the option origins, hand its headers to onWebTransportSession(session, headers)";
      this.warnings.advise("ROOMCAST_ORIGIN_UNKNOWN", text);
      return Promise.resolve(false);
    }
    return new Promise((resolve) => {
      this.check(handshakeOriginOf(headers as IncomingHttpHeaders, false), (refusal) => resolve(refusal === null));
    });
  }
}

const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@,*]*$/i;
const EXPECTED = '"same", an origin such as "https://example.org" (no path), a RegExp, a list of these, or a function';

/** @throws UsageError RC_ERR_OPTION on an invalid value of the option */
export function expectOrigins(option: unknown): void {
  decisionOf(option);
}

function decisionOf(option: unknown): Decision | null {
  if (option === undefined || option === null || option === false) return null;
  if (typeof option === "function") return { ask: option as OriginFunction };
  const list: unknown[] = Array.isArray(option) ? option : [option];
  if (list.some(isAnyOrigin)) return null;
  const rules = list.map(ruleOf);
  return { allows: (from) => rules.some((rule) => rule(from)) };
}

/** `*`, or `*:*` as in Socket.IO 2. */
export function isAnyOrigin(entry: unknown): boolean {
  return entry === "*" || entry === "*:*";
}

function ruleOf(entry: unknown): (from: HandshakeOrigin) => boolean {
  if (entry instanceof RegExp) {
    if (entry.global || entry.sticky) throw validationError("a RegExp without the flags g and y", String(entry));
    return ({ origin }) => typeof origin === "string" && entry.test(origin);
  }
  if (entry === "same") return isSame;
  if (entry === "null") return ({ origin }) => origin === "null";
  if (typeof entry !== "string" || !ORIGIN.test(entry))
    throw validationError(EXPECTED, typeof entry === "string" ? JSON.stringify(entry) : typeof entry);
  const expected = normalise(entry);
  return ({ origin }) => typeof origin === "string" && normalise(origin) === expected;
}

function validationError(expected: string, met: string): UsageError {
  return new UsageError("RC_ERR_OPTION", `option origins: expected ${expected}, met ${met}`);
}

/** Whether the page of a request has the host of the request. Compares the host alone: behind a proxy that terminates TLS the scheme of the request isn't known. */
export function isSame({ origin, host }: HandshakeOrigin): boolean {
  if (typeof origin !== "string" || host === undefined) return false;
  const at = origin.indexOf("://");
  if (at === -1) return false;
  const scheme = origin.slice(0, at + 3);
  return normalise(origin) === normalise(scheme + host);
}

/** Lower case, without the default port. */
function normalise(origin: string): string {
  const lower = origin.toLowerCase();
  if (lower.startsWith("https://") && lower.endsWith(":443")) return lower.slice(0, -4);
  return lower.startsWith("http://") && lower.endsWith(":80") ? lower.slice(0, -3) : lower;
}

/**
 * Origin and host of a handshake. Browsers send no `Origin` with a GET made by a script or image element; such a request is recognised by
 * JSONP or `Sec-Fetch-Site` (ROB-192).
 */
export function handshakeOriginOf(headers: IncomingHttpHeaders, isJsonp: boolean): HandshakeOrigin {
  const host = headers.host ?? (headers[":authority"] as string | undefined);
  if (headers.origin !== undefined) return { origin: headers.origin, host };
  const site = headers["sec-fetch-site"];
  const isFromPage = isJsonp || site === "cross-site" || site === "same-site";
  return { origin: isFromPage ? originOfReferer(headers.referer) : undefined, host };
}

function originOfReferer(referer: string | undefined): string | null {
  return referer === undefined ? null : (/^[a-z]+:\/\/[^/?#]+/i.exec(referer)?.[0] ?? null);
}

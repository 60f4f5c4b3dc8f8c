// The requests below the mount path: who asks, for what, and what is answered.
import type { IncomingMessage, ServerResponse } from "node:http";
import createDebug from "debug";
import { ownVersion } from "../support/own-version";
import { oneLine } from "../support/log-text";
import type { Server } from "../server/server";
import { Access, isSame, isSameOrigin, type Visitor } from "./access";
import { ActionError, parseAction, perform, type ActionRequest } from "./actions";
import { countIn, findSocket, searchElsewhere } from "./cluster-search";
import { LIMIT_MAX, Listing, ROOM_SORTS, SOCKET_SORTS, type ListQuery } from "./listing";
import { LoginAttempts } from "./login-attempts";
import type { DashboardLogEntry, ResolvedOptions } from "./options";
import { ASSETS, INDEX, LOGIN } from "./page";
import { readBody, Reply } from "./replies";
import { Sampler } from "./sampler";

const debug = createDebug("socket.io:dashboard");

const TOKEN_HEADER = "x-dashboard-token";
/** Entries of the log that the page shows. */
const LOG_KEPT = 100;
const ATTEMPTS_KEPT = 20;
const WRONG = "The name or the password is wrong.";
const CROSS_ORIGIN = "This request does not come from a page of this dashboard.";

/** The dashboard of one server. */
export class DashboardHandler {
  private readonly io: Server<any, any, any, any>;
  private readonly options: ResolvedOptions;
  private readonly access: Access;
  private readonly attempts = new LoginAttempts();
  private readonly sampler: Sampler;
  private readonly listing: Listing;
  private readonly logged: DashboardLogEntry[] = [];
  private readonly version = ownVersion();
  private isEnded = false;

  constructor(io: Server<any, any, any, any>, options: ResolvedOptions) {
    this.io = io;
    this.options = options;
    this.access = new Access(options);
    this.listing = new Listing(io, options.intervalMs);
    this.sampler = new Sampler(io, options.intervalMs, () => this.listing.clear());
  }

  /** Answers a request if it is at or below the mount path. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const { path } = this.options;
    const url = request.url ?? "";
    if (!url.startsWith(path)) return false;
    const [pathname, query = ""] = url.split("?", 2);
    const below = pathname.slice(path.length);
    if (below !== "" && !below.startsWith("/")) return false;
    const reply = new Reply(request, response);
    // Relative, as all links: a proxy may have another path in front.
    if (below === "") reply.redirect(`${path.slice(path.lastIndexOf("/") + 1)}/`);
    else this.answer(request, reply, below.slice(1), new URLSearchParams(query)).catch((error: unknown) => this.fail(reply, error));
    return true;
  }

  /** Requests that are being answered get no figures any more: nothing starts again. */
  end(): void {
    this.isEnded = true;
    this.sampler.end();
  }

  /** A failure of the function `auth`, of the cluster, or of a client that left in the middle of its request. */
  private fail(reply: Reply, error: unknown): void {
    if (debug.enabled) debug("a request failed: %s", oneLine(error));
    reply.text(500, "The request failed; the log socket.io:dashboard tells why.");
  }

  private async answer(request: IncomingMessage, reply: Reply, name: string, query: URLSearchParams): Promise<void> {
    const verdict = await this.access.judge(request);
    if (this.isEnded) return reply.text(404, "not found");
    const isPost = request.method === "POST";
    if (!isPost && request.method !== "GET" && request.method !== "HEAD")
      return reply.text(405, "GET, HEAD or POST", { Allow: "GET, HEAD, POST" });
    if (verdict.visitor === null) {
      if (!verdict.isLogin) return reply.text(403, verdict.text);
      if (isPost && name === "login") return this.login(request, reply);
      if (!isPost && name === "") return reply.file(loginPage(""), 401);
      const asset = ASSETS.get(name);
      return asset !== undefined && !isPost ? reply.file(asset) : reply.text(401, verdict.text);
    }
    if (isPost) return this.answerPost(request, reply, name, verdict.visitor);
    const asset = name === "" ? INDEX : ASSETS.get(name);
    if (asset !== undefined) return reply.file(asset);
    return this.answerQuestion(reply, name, query, verdict.visitor);
  }

  // Questions

  private async answerQuestion(reply: Reply, name: string, query: URLSearchParams, visitor: Visitor): Promise<void> {
    const of = (key: string): string => query.get(key) ?? "";
    if (name.startsWith("api/")) this.sampler.watch();
    switch (name) {
      case "api/state":
        return reply.json(await this.state(Number(of("since")) || 0, visitor));
      case "api/sockets":
        return reply.json(this.listing.sockets(listQueryOf(of, SOCKET_SORTS)));
      case "api/rooms":
        return reply.json(this.listing.rooms(listQueryOf(of, ROOM_SORTS)));
      case "api/elsewhere":
        if (of("search") === "") return reply.text(400, "expected a search");
        return reply.json(await searchElsewhere(this.io, of("namespace"), of("search")));
      case "api/socket":
      case "api/room": {
        const nsp = this.io._nsps.get(of("namespace"));
        const found = nsp === undefined ? null : name === "api/room" ? await countIn(nsp, of("room")) : await findSocket(nsp, of("id"));
        return found === null ? reply.text(404, "it is gone") : reply.json(found);
      }
      default:
        return reply.text(404, "not found");
    }
  }

  private async state(since: number, { token, user }: Visitor): Promise<object> {
    const { figures, samples } = await this.sampler.read(since);
    const { allow, intervalMs, auth } = this.options;
    const isLogin = user !== null && typeof auth !== "function";
    return { version: this.version, token, user, isLogin, allow: [...allow], intervalMs, figures, samples, log: this.logged };
  }

  // What changes something

  private async answerPost(request: IncomingMessage, reply: Reply, name: string, visitor: Visitor): Promise<void> {
    if (name === "login") return reply.redirect("./"); // logged in already, in another tab
    if (name !== "api/act" && name !== "logout") return reply.text(404, "not found");
    const token = request.headers[TOKEN_HEADER];
    if (!isSameOrigin(request) || typeof token !== "string" || !isSame(token, visitor.token)) return reply.text(403, CROSS_ORIGIN);
    if (name === "logout") {
      this.log({ action: "logout", outcome: "done", user: visitor.user, address: visitor.address });
      return reply.file({ type: "text/plain", text: "" }, 200, { "Set-Cookie": this.access.endSession() });
    }
    const body = await readBody(request);
    if (body === null) return reply.tooLarge();
    return this.act(reply, body, visitor);
  }

  private async act(reply: Reply, body: string, { user, address }: Visitor): Promise<void> {
    let action: ActionRequest;
    try {
      action = parseAction(JSON.parse(body));
    } catch (error) {
      return reply.text(400, error instanceof ActionError ? error.message : "expected JSON");
    }
    const { args: _args, ...names } = action;
    const log = (entry: Pick<DashboardLogEntry, "outcome" | "sockets" | "error">): void => this.log({ ...names, user, address, ...entry });
    if (!this.options.allow.has(action.action)) {
      log({ outcome: "refused", error: "not allowed" });
      return reply.text(403, `The option allow of dashboard() does not have "${action.action}".`);
    }
    try {
      const sockets = await perform(this.io, action);
      log({ outcome: "done", sockets });
      reply.json({ sockets });
    } catch (error) {
      const isOwn = error instanceof ActionError;
      log({ outcome: "failed", error: isOwn ? error.message : oneLine(error) });
      if (!isOwn) throw error;
      reply.text(409, error.message);
    }
  }

  private async login(request: IncomingMessage, reply: Reply): Promise<void> {
    if (!isSameOrigin(request)) return reply.text(403, CROSS_ORIGIN);
    const address = request.socket.remoteAddress ?? "";
    const { seconds, isFirst } = this.attempts.take(address);
    if (seconds > 0) {
      if (isFirst) this.log({ action: "login", outcome: "refused", user: null, address, error: "too many attempts" });
      return reply.file(loginPage(`Too many attempts. Try again in ${seconds} seconds.`), 429, { "Retry-After": seconds });
    }
    const body = await readBody(request);
    if (body === null) return reply.tooLarge();
    const fields = new URLSearchParams(body);
    const given = { username: fields.get("username") ?? "", password: fields.get("password") ?? "" };
    if (!this.access.matches(given)) {
      this.log({ action: "login", outcome: "refused", user: null, address, error: "wrong name or password" });
      return reply.file(loginPage(WRONG), 401);
    }
    this.log({ action: "login", outcome: "done", user: given.username, address });
    return reply.redirect("./", { "Set-Cookie": await this.access.openSession(request) });
  }

  /** A function of the program that throws changes nothing about what was done. */
  private log(given: Omit<DashboardLogEntry, "at">): void {
    const entry = { at: Date.now(), ...given };
    this.keep(entry);
    if (debug.enabled) debug("%s", oneLine(JSON.stringify(entry)));
    const warn = (error: unknown): void =>
      this.io._warnings.warn("ROOMCAST_CALLBACK_FAILED", "the function log of dashboard() failed", error);
    try {
      void Promise.resolve(this.options.log?.(entry)).catch(warn);
    } catch (error) {
      warn(error);
    }
  }

  /** Strangers who try passwords push out each other, not what was done. */
  private keep(entry: DashboardLogEntry): void {
    const { logged } = this;
    logged.push(entry);
    const isAttempt = ({ action, outcome }: DashboardLogEntry): boolean => action === "login" && outcome === "refused";
    if (logged.filter(isAttempt).length > ATTEMPTS_KEPT) logged.splice(logged.findIndex(isAttempt), 1);
    if (logged.length > LOG_KEPT) logged.shift();
  }
}

function loginPage(message: string): { type: string; text: string } {
  return { type: LOGIN.type, text: LOGIN.text.replace("MESSAGE", message) };
}

function listQueryOf(of: (key: string) => string, sorts: readonly string[]): ListQuery {
  const number = (key: string, byDefault: number, maximum: number): number => {
    const value = of(key) === "" ? byDefault : Math.trunc(Number(of(key)));
    return value >= 0 && value <= maximum ? value : byDefault;
  };
  return {
    namespace: of("namespace"),
    search: of("search"),
    sort: sorts.includes(of("sort")) ? of("sort") : sorts[0],
    offset: number("offset", 0, Number.MAX_SAFE_INTEGER),
    limit: number("limit", 50, LIMIT_MAX),
  };
}

// The response of upgrade requests for middlewares.
import type { Duplex } from "node:stream";
import { StandInResponse } from "../stand-in-response";

/** The `res` of an upgrade request for middlewares. Headers that they set are sent with the 101 response (ENG-73). */
export class UpgradeResponse extends StandInResponse {
  private readonly socket: Duplex;

  constructor(socket: Duplex) {
    super(101);
    this.socket = socket;
    socket.once("close", () => this.emit("close"));
  }

  /** Called once by the engine, before the 101 response; session middlewares wrap it to set their cookie. */
  writeHead(_status?: number, ..._rest: unknown[]): this {
    return this;
  }

  write(): boolean {
    return true;
  }

  /** A middleware refuses the upgrade: destroys the connection. */
  end(): this {
    if (this.writableEnded) return this;
    this.writableEnded = this.finished = true;
    this.socket.destroy();
    this.emit("finish");
    return this;
  }
}

import type { Duplex } from "node:stream";
import { StandInResponse } from "./stand-in-response";

/** The `res` that middlewares get for an upgrade request: what they set goes into the 101 response. */
export class UpgradeResponse extends StandInResponse {
  private readonly socket: Duplex;

  constructor(socket: Duplex) {
    super(101);
    this.socket = socket;
    socket.once("close", () => this.emit("close"));
  }

  /** Called by the engine once, before the 101; session middlewares wrap it to set their cookie. */
  writeHead(_status?: number, ..._rest: unknown[]): this {
    return this;
  }

  write(): boolean {
    return true;
  }

  /** A middleware refuses the upgrade: the connection is cut. */
  end(): this {
    if (this.writableEnded) return this;
    this.writableEnded = this.finished = true;
    this.socket.destroy();
    this.emit("finish");
    return this;
  }
}

// The diagnostics channels of the engine: handshakes, sessions, limits. docs/observability.md describes them.
import type { ErrorCode } from "../errors";
import { channel } from "../support/channel";
import type { CloseReason } from "./close-reason";
import type { DropCause } from "./counts";
import type { EngineRequest } from "./host";
import type { Session } from "./session";
import type { SessionHost } from "./session-host";
import type { TransportName } from "./transport";
import type { ErrorNumber } from "./verification";

/** The messages of these channels, by name. */
export interface EngineChannels {
  /** A request asks for a new session, and has passed the middlewares of the engine and the checks of its query. It ends with `roomcast:session:open` or `roomcast:handshake:refuse`, or not at all if the client leaves. */
  "roomcast:handshake:start": { engine: SessionHost; request: EngineRequest };
  /** A request or handshake is refused. `request`: null for WebTransport. `code`: 0 to 5, see `io.engine.counts.refusals`. */
  "roomcast:handshake:refuse": {
    engine: SessionHost;
    request: EngineRequest | null;
    code: ErrorNumber;
    message: string;
    context: Readonly<Record<string, unknown>>;
  };
  /** A session has opened. `request`: null for WebTransport. */
  "roomcast:session:open": { session: Session; request: EngineRequest | null };
  /** A session has moved to another transport. */
  "roomcast:session:upgrade": { session: Session; from: TransportName; to: TransportName };
  /** A session has ended. `error`: what caused it, if anything did, such as a LimitError. */
  "roomcast:session:close": { session: Session; reason: CloseReason; error: unknown };
  /** A limit was met, or something else that `io.engine.counts.codes` counts. `error`: undefined where none is made. */
  "roomcast:limit": { engine: SessionHost; code: ErrorCode; error: unknown };
  /** Events were dropped, see `io.engine.counts.dropped`. */
  "roomcast:drop": { engine: SessionHost; cause: DropCause; events: number };
}

export const handshakeStart = channel<EngineChannels["roomcast:handshake:start"]>("roomcast:handshake:start");
export const handshakeRefuse = channel<EngineChannels["roomcast:handshake:refuse"]>("roomcast:handshake:refuse");
export const sessionOpen = channel<EngineChannels["roomcast:session:open"]>("roomcast:session:open");
export const sessionUpgrade = channel<EngineChannels["roomcast:session:upgrade"]>("roomcast:session:upgrade");
export const sessionClose = channel<EngineChannels["roomcast:session:close"]>("roomcast:session:close");
export const limitMet = channel<EngineChannels["roomcast:limit"]>("roomcast:limit");
export const eventsDropped = channel<EngineChannels["roomcast:drop"]>("roomcast:drop");

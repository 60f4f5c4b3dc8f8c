// A handshake request that is let go and built again has what the original had.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WEBSOCKET, webSocketPair } from "../../../support/engine.js";
import { oursOnly } from "../../../support/target.js";

test(
  "shows the headers of a request that it builds again as Node.js shows those of the original [ENG-201]",
  oursOnly("the option is ours"),
  async (t) => {
    const headers = {
      Cookie: ["a=1", "b=2"],
      "X-Forwarded-For": ["10.0.0.1", "10.0.0.2"],
      Authorization: ["one", "two"],
      "User-Agent": ["one", "two"],
      "Set-Cookie": ["c=3", "d=4"],
      "Max-Forwards": ["1", "2"],
      "X-Empty": "",
    };
    const headersOf = async (options) => {
      const { session } = await webSocketPair(t, options, { path: WEBSOCKET, headers });
      const { rawHeaders, headers: joined, headersDistinct } = session.request;
      const own = { host: "", "sec-websocket-key": "" }; // differ for each connection
      return { names: rawHeaders.filter((_, index) => index % 2 === 0), joined: { ...joined, ...own }, cookies: headersDistinct.cookie };
    };
    const original = await headersOf({ keepRequest: true });
    assert.deepEqual(original.joined["set-cookie"], ["c=3", "d=4"]);
    assert.deepEqual(original.cookies, ["a=1", "b=2"]);
    assert.deepEqual(await headersOf({}), original);
  },
);

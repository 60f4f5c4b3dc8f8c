// A long-polling client on keep-alive connections.
import { Agent, request } from "node:http";

const POLLING = "/socket.io/?EIO=4&transport=polling";

export class PollingClient {
  constructor(port) {
    this.port = port;
    this.agent = new Agent({ keepAlive: true, maxSockets: 2 });
  }

  exchange(method, path, body) {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { "content-type": "text/plain;charset=UTF-8", "content-length": Buffer.byteLength(body) };
      const req = request({ port: this.port, host: "127.0.0.1", method, path, agent: this.agent, headers }, (res) => {
        let text = "";
        res
          .setEncoding("utf8")
          .on("data", (piece) => (text += piece))
          .on("end", () => resolve(text));
      });
      req.on("error", reject).end(body);
    });
  }

  async open() {
    const text = await this.exchange("GET", POLLING);
    this.path = `${POLLING}&sid=${JSON.parse(text.slice(1)).sid}`;
    await this.exchange("POST", this.path, "40");
    await this.exchange("GET", this.path);
    return this;
  }

  /** One event with acknowledgement: a POST, and the GET that brings the answer. */
  async echo(id) {
    const poll = this.exchange("GET", this.path);
    await this.exchange("POST", this.path, `42${id}["echo","x"]`);
    return poll;
  }

  close() {
    this.agent.destroy();
  }
}

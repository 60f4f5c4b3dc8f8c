/** nginx and HAProxy in front of servers of a test, with whatever configuration it wants. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pass, within } from "../../support/wait.js";
import { freePort } from "../../support/free-port.js";

const ATTEMPTS = 3;

const isThere = (program, arg) => spawnSync(program, [arg]).error === undefined;

/** Options of a test that needs both; `.ci/run` installs them on Debian. */
export const PROXIES = isThere("nginx", "-v") && isThere("haproxy", "-v") ? {} : { skip: "nginx or HAProxy is not installed" };

const FORWARD_UPGRADE = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";';

/**
 * @param location  directives in `location`; by default all that is needed
 * @param upstream  directives in `upstream`
 * @param server    directives in `server`
 * @returns its URL
 */
export async function startNginx(
  t,
  ports,
  { location = FORWARD_UPGRADE, path = "/socket.io/", to = "", upstream = "hash $remote_addr;", server = "" } = {},
) {
  const folder = folderFor(t);
  const config = (port) => `
    daemon off; pid ${folder}/pid; error_log stderr crit; worker_processes 1;
    events { worker_connections 256; }
    http {
      access_log off;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
      upstream app { ${upstream} ${ports.map((each) => `server 127.0.0.1:${each};`).join(" ")} }
      server { listen 127.0.0.1:${port}; client_max_body_size 2m; ${server} location ${path} { proxy_pass http://app${to}; ${location} } }
    }`;
  const file = join(folder, "nginx.conf");
  return start(t, "nginx", ["-c", file, "-p", folder, "-e", "stderr"], (port) => writeFileSync(file, config(port)));
}
startNginx.FORWARD_UPGRADE = FORWARD_UPGRADE;

/**
 * @param timeouts  lines of `defaults`
 * @param backend   lines of `backend`
 * @param cookies   whether each server has a cookie of its own
 */
export async function startHaproxy(
  t,
  ports,
  { timeouts = "timeout client 1h\n timeout server 1h\n timeout tunnel 1h", backend = "balance source", cookies = false } = {},
) {
  const folder = folderFor(t);
  const servers = ports.map((each, index) => ` server s${index} 127.0.0.1:${each}${cookies ? ` cookie s${index}` : ""}`).join("\n");
  const config = (port) => `
defaults
 mode http
 timeout connect 5s
 ${timeouts}
frontend f
 bind 127.0.0.1:${port}
 default_backend b
backend b
 ${backend}
${servers}
`;
  const file = join(folder, "haproxy.cfg");
  return start(t, "haproxy", ["-db", "-q", "-f", file], (port) => writeFileSync(file, config(port)));
}

function folderFor(t) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-proxy-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Starts a proxy, and waits until it listens; it is gone before its folder is. Another program may take its port before: then with another one.
 * @returns its URL
 */
async function start(t, program, args, configure) {
  let said = "";
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = await freePort();
    configure(port);
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (said += text));
    const ended = once(child, "close");
    t.after(async () => {
      child.kill("SIGTERM");
      await within(ended, `${program} to end`, () => said, 20_000);
    });
    const hasEnded = () => (child.exitCode ?? child.signalCode) !== null;
    const listens = async () => {
      while (!hasEnded() && !(await isOpen(port))) await pass(20);
    };
    await within(listens(), `${program} to listen`, () => said, 20_000);
    if (!hasEnded()) return `http://127.0.0.1:${port}`;
  }
  throw new Error(`${program} ended: ${said}`);
}

function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

// What `roomcast doctor` can find: what is seen, why, and the line that fixes it.

/** A finding without what was found. */
interface Known {
  readonly cause: string;
  /** Lines to write, each with where it belongs. */
  readonly fix: readonly string[];
}

/** By id. The ids are stable: scripts may look for them in the output of `--json`. */
export const FINDINGS = {
  unreachable: {
    cause: "nothing answers at this address",
    fix: ["check the host, the port, and that the server listens on an address that is reachable from here"],
  },
  plaintext: {
    cause: "something answers, but not with TLS",
    fix: ["in the client: io(PLAIN), or a proxy with a certificate in front of the server"],
  },
  certificate: {
    cause: "clients refuse the certificate",
    fix: ["serve the whole chain of a certificate for this name; for a first look: roomcast doctor --insecure"],
  },
  redirect: {
    cause: "the address redirects, and WebSockets do not follow redirects",
    fix: ["in the client: io(TARGET), with the address that it redirects to"],
  },
  "bad-gateway": {
    cause: "the proxy does not reach the server behind it",
    fix: ["nginx: proxy_pass http://ADDRESS:PORT; with the address that the server listens on", "HAProxy: server app ADDRESS:PORT check"],
  },
  path: {
    cause: "no Socket.IO server answers under this path: it is another one in client and server, or the proxy strips it",
    fix: [
      "nginx: location /socket.io/ { proxy_pass http://app; }   (no path behind the name)",
      'client and server: the same option path: "/socket.io/"',
      "to try another one: roomcast doctor URL --path /other/",
    ],
  },
  query: {
    cause: "the query of the request is lost on the way",
    fix: ["nginx: proxy_pass http://app;   (without a URI and without rewrite, or with $is_args$args)"],
  },
  forbidden: {
    cause: "the application refuses the handshake (option allowRequest, or origins)",
    fix: [
      "if the option origins is set: add the origin of the page",
      "or look into allowRequest; roomcast doctor --header sends what it needs",
    ],
  },
  revision: {
    cause: "the server does not take clients of this version",
    fix: ["server: allowEIO3: true   (for clients of socket.io 2)", "or a newer client: npm install socket.io-client@4"],
  },
  sticky: {
    cause: "requests of one session reach several servers",
    fix: [
      "nginx: upstream app { hash $remote_addr consistent; … }",
      "HAProxy: cookie server insert indirect nocache   and   server a ADDRESS cookie a",
      "or none of it: an adapter of roomcast with carrySessions: true",
    ],
  },
  "sticky-cookie": {
    cause: "requests reach the right server only with its cookie, and browsers do not send it from this origin",
    fix: ["client: withCredentials: true", "the cookie: SameSite=None; Secure", "server: cors: { origin: ORIGIN, credentials: true }"],
  },
  upgrade: {
    cause: "WebSockets do not pass: the proxy does not forward the upgrade, so that clients stay with long-polling",
    fix: [
      "nginx: proxy_http_version 1.1;",
      "nginx: proxy_set_header Upgrade $http_upgrade;",
      'nginx: proxy_set_header Connection "upgrade";',
      "403: a rule of the proxy or a firewall refuses WebSockets",
    ],
  },
  "websocket-off": {
    cause: "the server offers no upgrade to WebSocket",
    fix: ['server: transports: ["polling", "websocket"]   (the default)'],
  },
  "idle-websocket": {
    cause: "something cuts idle WebSockets before the server's next ping",
    fix: ["nginx: proxy_read_timeout SECONDSs;", "HAProxy: timeout tunnel 1h", "or server: pingInterval below the time-out"],
  },
  "idle-poll": {
    cause: "something ends requests that wait longer than a moment, and long-polling waits up to pingInterval",
    fix: ["nginx: proxy_read_timeout SECONDSs;", "HAProxy: timeout server SECONDSs", "or server: pingInterval below the time-out"],
  },
  body: {
    cause: "something refuses bodies that the server would take (maxHttpBufferSize)",
    fix: ["nginx: client_max_body_size 2m;", "or server: maxHttpBufferSize: BYTES"],
  },
  cors: { cause: "pages of this origin may not read responses", fix: ["server: cors: { origin: [ORIGIN] }"] },
  "cors-credentials": {
    cause: "the server allows credentials for every origin, which browsers refuse",
    fix: ["server: cors: { origin: [ORIGIN], credentials: true }"],
  },
  "cors-twice": {
    cause: "two places add the header Access-Control-Allow-Origin, and browsers accept one value",
    fix: ["nginx: remove add_header Access-Control-Allow-Origin", "or server: no option cors"],
  },
  interrupted: {
    cause: "a request fails after others have passed: the server ended, or something limits requests or connections",
    fix: ["look into the logs of the server and of the proxy", "nginx: limit_req and limit_conn, as far as they are set"],
  },
  namespace: {
    cause: "the server refuses the namespace",
    fix: [
      "the path of the URL is the namespace: leave it out for the main one",
      "or server: io.of(NAMESPACE), or look into its middlewares; roomcast doctor --auth sends what they need",
    ],
  },
  "namespace-silent": {
    cause: "the server does not answer who joins the namespace: a middleware has not called next()",
    fix: ["server: call next() in every branch of io.of(NAMESPACE).use(…)"],
  },
  protocol: { cause: "the response is not one of a Socket.IO server", fix: ["check the address and the option path"] },
} as const satisfies Readonly<Record<string, Known>>;

export type FindingId = keyof typeof FINDINGS;

/** One finding at one server. */
export interface Finding {
  readonly id: FindingId;
  /** What was seen. */
  readonly found: string;
  readonly cause: string;
  readonly fix: readonly string[];
}

/** @param values  what stands for the words in capitals in the lines */
export function findingOf(id: FindingId, found: string, values: Readonly<Record<string, string>> = {}): Finding {
  const { cause, fix } = FINDINGS[id];
  const filled = fix.map((line) =>
    Object.entries(values).reduce((text, [word, value]) => text.replaceAll(word, () => value), line as string),
  );
  return { id, found, cause, fix: filled };
}

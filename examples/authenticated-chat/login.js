/** The HTTP side: who may sign in, the sessions that are open, and the page. Yours has a database in place of the two maps. */
const { randomUUID, scryptSync, timingSafeEqual } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const salt = "examples/authenticated-chat"; // yours: random, one for each user
const hashOf = (password) => scryptSync(password, salt, 32);
/** Name → `{ hash, role }`. The password of each is "demo". */
const users = new Map(["ada", "bob", "eve"].map((name) => [name, { hash: hashOf("demo"), role: name === "ada" ? "staff" : "guest" }]));
const nobody = { hash: hashOf(randomUUID()), role: "" };
const failuresPerMinute = 5;

const page = new Map([
  ["/", { type: "text/html; charset=utf-8", body: readFileSync(join(__dirname, "public/index.html")) }],
  ["/chat.js", { type: "text/javascript; charset=utf-8", body: readFileSync(join(__dirname, "public/chat.js")) }],
]);

/**
 * @param tokens      of tokens.js
 * @param onSignOut   called with the id of a session that has ended
 * @returns           `{ handle(req, res), userOf(token) }`; `userOf` gives `{ name, role, session, expiresAt }`, or null
 */
function createLogin(tokens, onSignOut) {
  /** Id of each open session → the name of its user. A token is good as long as its session is open. */
  const sessions = new Map();
  /** Name → failures in this minute. */
  const failures = new Map();
  setInterval(() => failures.clear(), 60_000).unref();

  function userOf(token) {
    const claims = tokens.verify(token);
    if (claims === null || sessions.get(claims.session) !== claims.sub) return null;
    return { name: claims.sub, role: users.get(claims.sub).role, session: claims.session, expiresAt: claims.exp * 1000 };
  }

  const actions = {
    login({ name, password }) {
      if (typeof name !== "string" || typeof password !== "string" || password.length > 100) return { status: 400 };
      if ((failures.get(name) ?? 0) >= failuresPerMinute) return { status: 429 };
      const user = users.get(name) ?? nobody; // the same work for a name that does not exist
      if (!timingSafeEqual(hashOf(password), user.hash)) {
        if (user !== nobody) failures.set(name, (failures.get(name) ?? 0) + 1);
        return { status: 401 };
      }
      const session = randomUUID();
      sessions.set(session, name);
      return { status: 200, body: tokens.sign({ sub: name, session }) };
    },
    renew(_body, user) {
      if (user === null) return { status: 401 };
      return { status: 200, body: tokens.sign({ sub: user.name, session: user.session }) };
    },
    logout(_body, user) {
      if (user === null) return { status: 401 };
      sessions.delete(user.session);
      onSignOut(user.session);
      return { status: 200, body: {} };
    },
  };

  async function handle(req, res) {
    const file = page.get(req.url);
    if (file !== undefined) return res.writeHead(200, { "Content-Type": file.type, "X-Content-Type-Options": "nosniff" }).end(file.body);
    const name = req.url.slice(1);
    if (req.method !== "POST" || !Object.hasOwn(actions, name)) return res.writeHead(404).end();
    const body = await readJson(req).catch(() => null);
    const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? "")?.[1];
    const answer = body === null ? { status: 400 } : actions[name](body, userOf(token));
    res
      .writeHead(answer.status, { "Content-Type": "application/json", "Cache-Control": "no-store" })
      .end(JSON.stringify(answer.body ?? {}));
  }

  return { handle, userOf };
}

async function readJson(req) {
  let text = "";
  for await (const chunk of req.setEncoding("utf8")) {
    text += chunk;
    if (text.length > 1000) throw new Error("too long");
  }
  const value = text === "" ? {} : JSON.parse(text);
  if (typeof value !== "object" || value === null) throw new Error("not an object");
  return value;
}

module.exports = { createLogin };

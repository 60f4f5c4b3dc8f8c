// What is known of one socket or room, and what can be done to it.
import { byId, bytes, count, duration, el, setText } from "./elements.js";

const dialog = byId("details");
const ASK_AGAIN_MS = 4000;

/** Shows sockets and rooms in the dialog. */
export class Details {
  /** @param page  `{ ask(path), act(body), allow(): actions, search(room, namespace) }` */
  constructor(page) {
    this.page = page;
    this.subject = null;
    dialog.addEventListener("close", () => (this.subject = null));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  openSocket(namespace, id) {
    return this.open({ namespace, target: id, isRoom: false });
  }

  openRoom(namespace, room) {
    return this.open({ namespace, target: room, isRoom: true });
  }

  async open(subject) {
    this.subject = subject;
    this.result = el("p", { class: "result", role: "status" });
    this.facts = el("dl", { class: "facts" });
    this.rooms = el("div");
    const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
    const title = el("h2", { id: "details-title" }, subject.isRoom ? "Room " : "Socket ", el("span", { class: "id" }, subject.target));
    dialog.replaceChildren(el("div", { class: "head" }, title, close), this.facts, this.rooms, ...this.controls(), this.result);
    dialog.showModal();
    await this.refresh();
  }

  /** Asks again what is shown; sockets of other servers are asked for only when something was done. */
  async refresh({ isTick = false } = {}) {
    const { subject } = this;
    if (subject === null || (isTick && (subject.isRoom || subject.isElsewhere))) return;
    const { namespace, target, isRoom } = subject;
    const query = new URLSearchParams(isRoom ? { namespace, room: target } : { namespace, id: target });
    const found = await this.page.ask(`api/${isRoom ? "room" : "socket"}?${query}`);
    if (this.subject !== subject) return;
    if (found === null) return this.showFacts([["State", "gone"]]);
    if (isRoom) return this.showRoom(found);
    subject.isElsewhere = !found.isHere;
    this.showSocket(found);
  }

  showSocket(found) {
    const { namespace, address, forwardedFor, transport, protocol, waitingBytes, since, userAgent, isSecure, isRecovered } = found;
    this.showFacts([
      ["Namespace", namespace],
      ["Server", found.isHere ? "this one" : "another one"],
      ["Address", forwardedFor === "" ? address : `${address}, forwarded for ${forwardedFor}`],
      ...(transport === undefined
        ? []
        : [["Transport", `${transport}${isSecure ? ", encrypted" : ""}${protocol === 3 ? ", client of Socket.IO 2" : ""}`]]),
      ...(waitingBytes === undefined ? [] : [["Waiting", bytes(waitingBytes)]]),
      ["Connected for", `${duration((Date.now() - since) / 1000)}${isRecovered ? ", recovered" : ""}`],
      ["Client", userAgent || "–"],
    ]);
    this.showRooms(found);
  }

  showRoom({ count: sockets, silent }) {
    const { namespace, target } = this.subject;
    this.showFacts([
      ["Namespace", namespace],
      ["Sockets", `${count(sockets)} on all servers${silent > 0 ? `; ${silent} did not answer` : ""}`],
    ]);
    const show = () => {
      dialog.close();
      this.page.search(target, namespace);
    };
    if (this.rooms.childElementCount === 0)
      this.rooms.append(el("p", {}, el("button", { type: "button", onclick: show }, "Show its sockets")));
  }

  /** Values that stay keep their elements: what somebody has selected stays selected. */
  showFacts(facts) {
    const names = facts.map(([name]) => name).join();
    if (this.factNames !== names || this.facts.childElementCount === 0) {
      this.facts.replaceChildren(...facts.flatMap(([name]) => [el("dt", {}, name), el("dd")]));
      this.factNames = names;
    }
    facts.forEach(([, value], i) => setText(this.facts.children[2 * i + 1], value));
  }

  showRooms({ rooms, roomNames }) {
    const shown = roomNames.join("\n");
    if (this.shownRooms === shown && this.rooms.childElementCount > 0) return;
    this.shownRooms = shown;
    const more = rooms - 1 - roomNames.length; // the first one is the socket's own
    const items = roomNames.map((room) => {
      const leave = el("button", { type: "button", "aria-label": `Leave ${room}`, onclick: () => this.act("leave", { room }) }, "Leave");
      return el("li", {}, el("span", {}, room), ...(this.page.allow().includes("leave") ? [leave] : []));
    });
    this.rooms.replaceChildren(
      el("h3", {}, "Rooms"),
      roomNames.length === 0 ? el("p", { class: "muted" }, "none but its own") : el("ul", { class: "chips" }, ...items),
      more > 0 ? el("p", { class: "muted" }, `and ${count(more)} more`) : "",
    );
  }

  controls() {
    const allow = this.page.allow();
    if (allow.length === 0) return [];
    const { isRoom } = this.subject;
    const made = {
      join: () =>
        form("Join", [el("label", {}, "Room to join", el("input", { name: "room", required: true, maxlength: "500" }))], (fields) =>
          this.act("join", fields),
        ),
      leave: () =>
        form("Leave", [el("label", {}, "Room to leave", el("input", { name: "room", required: true, maxlength: "500" }))], (fields) =>
          this.act("leave", fields),
        ),
      send: () => form("Send", sendFields(), (fields) => this.send(fields)),
      disconnect: () => this.disconnectButton(),
    };
    const names = ["join", "leave", "send", "disconnect"].filter((name) => allow.includes(name) && !(name === "leave" && !isRoom));
    return [el("h3", {}, isRoom ? "Act on all its sockets" : "Act"), ...names.map((name) => made[name]())];
  }

  /** Has to be pressed twice. */
  disconnectButton() {
    const text = this.subject.isRoom ? "Disconnect all" : "Disconnect";
    let isSure = false;
    const press = () => {
      if (isSure) return void this.act("disconnect", {});
      isSure = true;
      setText(button, "Press again to disconnect");
      setTimeout(() => {
        isSure = false;
        setText(button, text);
      }, ASK_AGAIN_MS);
    };
    const button = el("button", { type: "button", class: "danger", onclick: press }, text);
    return el("p", {}, button);
  }

  send({ event, args }) {
    try {
      const values = args.trim() === "" ? [] : JSON.parse(`[${args}]`);
      return this.act("send", { event, args: values });
    } catch {
      return this.tell("The values are not JSON.", true);
    }
  }

  async act(action, fields) {
    const { namespace, target } = this.subject;
    const { ok, text } = await this.page.act({ action, namespace, target, ...fields });
    this.tell(ok ? `${action}: done for ${count(text)} ${text === 1 ? "socket" : "sockets"}` : text, !ok);
    await this.refresh();
  }

  tell(text, isBad = false) {
    this.result.className = isBad ? "result bad" : "result good";
    setText(this.result, text);
  }
}

function sendFields() {
  return [
    el("label", {}, "Event", el("input", { name: "event", required: true, maxlength: "500" })),
    el(
      "label",
      {},
      "Values, as JSON",
      el("input", { name: "args", placeholder: '"text", 1, {}', autocomplete: "off", spellcheck: "false" }),
    ),
  ];
}

function form(title, fields, submit) {
  const onsubmit = (event) => {
    event.preventDefault();
    submit(Object.fromEntries(new FormData(event.target)));
  };
  return el("form", { onsubmit }, ...fields, el("button", {}, title));
}

// JSON as applications send it: lists of entries with ids, names, times, numbers and short sentences. The same for every run.
const WORDS =
  "the order has left our warehouse and should arrive on monday before noon please check address customer asked for a later delivery window thanks driver will call when near gate code changed again new invoice attached total price includes shipping payment pending review agent closed ticket after second message server room temperature high since last night backup finished without errors meeting moved to thursday everyone agreed draft needs one more look photos uploaded from phone battery low signal weak map updated route shorter by nine minutes".split(
    " ",
  );
const NAMES = ["Amara", "Björn", "Chen Wei", "Dolores", "Emeka", "Fatima", "Grigori", "Hana", "İpek", "João", "Kwame", "Lucía"];
const STATES = ["open", "pending", "shipped", "delivered", "cancelled"];

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), seed | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296;
  };
}

function entry(random) {
  const below = (count) => Math.floor(random() * count);
  const hex = (digits) => Array.from({ length: digits }, () => below(16).toString(16)).join("");
  return {
    id: `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
    author: { id: 10_000 + below(90_000), name: NAMES[below(NAMES.length)] },
    text: Array.from({ length: 6 + below(14) }, () => WORDS[below(WORDS.length)]).join(" "),
    state: STATES[below(STATES.length)],
    price: below(100_000) / 100,
    position: [Number((48 + random()).toFixed(6)), Number((9 + random()).toFixed(6))],
    at: new Date(1.76e12 + below(1e9)).toISOString(),
    isRead: random() < 0.5,
  };
}

/** Documents of `bytes` of JSON at least, and at most a few more, all different. */
export function documents(bytes, count = 50) {
  return Array.from({ length: count }, (_, number) => {
    const random = randomFrom(number * 1000 + bytes);
    const document = { number, time: 0, entries: [] };
    for (let size = JSON.stringify(document).length; size < bytes;) {
      const next = entry(random);
      document.entries.push(next);
      size += Buffer.byteLength(JSON.stringify(next)) + 1;
    }
    const over = Buffer.byteLength(JSON.stringify(document)) - bytes;
    const last = document.entries.at(-1);
    last.text = last.text.slice(0, Math.max(0, last.text.length - over));
    return document;
  });
}

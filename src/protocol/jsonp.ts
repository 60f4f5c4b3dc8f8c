// Payloads of JSONP clients (Engine.IO protocol, "JSONP polling").
import { parse } from "node:querystring";

/** Returns the script `___eio[index](…);`, in which the payload is a string literal (EIO-111). */
export function encodeJsonp(index: string, payload: string): string {
  const literal = JSON.stringify(payload)
    .replace(/\u2028/g, "\\u2028")
    .replace(/\u2029/g, "\\u2029");
  return `___eio[${index}](${literal});`;
}

/** Returns the payload in the form field `d`; null if the form has none or several (EIO-113, EIO-114). */
export function decodeJsonp(body: string): string | null {
  const field = parse(body)["d"];
  if (typeof field !== "string") return null;
  return field.replace(/(\\)?\\n/g, (_match, escaped: string | undefined) => (escaped === undefined ? "\n" : "\\n"));
}

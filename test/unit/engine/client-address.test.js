/** The address of a client, behind proxies that are trusted and others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clientAddressOf, proxiesOf } from "../../../dist/engine/client-address.js";

const addressOf = (remoteAddress, forwarded, trusted, bits = 64) =>
  clientAddressOf(
    { socket: { remoteAddress }, headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } },
    proxiesOf(trusted),
    bits,
  );

const PROXIES = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"];
for (const [remoteAddress, forwarded, trusted, expected] of [
  ["1.2.3.4", undefined, undefined, "1.2.3.4"],
  ["::ffff:1.2.3.4", undefined, undefined, "1.2.3.4"],
  ["1.2.3.4", "5.6.7.8", undefined, "1.2.3.4"],
  ["1.2.3.4", "5.6.7.8", PROXIES, "1.2.3.4"],
  ["10.1.1.1", "5.6.7.8", PROXIES, "5.6.7.8"],
  ["::ffff:10.1.1.1", "5.6.7.8", PROXIES, "5.6.7.8"],
  ["10.1.1.1", undefined, PROXIES, "10.1.1.1"],
  ["10.1.1.1", "", PROXIES, "10.1.1.1"],
  ["10.1.1.1", "invented, 5.6.7.8", PROXIES, "5.6.7.8"],
  ["10.1.1.1", "5.6.7.8, invented", PROXIES, "10.1.1.1"],
  ["10.1.1.1", "9.9.9.9, 5.6.7.8, 192.0.2.1,10.2.2.2", PROXIES, "5.6.7.8"],
  ["10.1.1.1", "10.3.3.3, 10.2.2.2", PROXIES, "10.3.3.3"],
  ["10.1.1.1", "5.6.7.8:4711", PROXIES, "5.6.7.8"],
  ["fd00::1", "[2001:db8:1:2:3::4]:4711", PROXIES, "2001:db8:1:2:0:0:0:0/64"],
  ["2001:db8::1", undefined, undefined, "2001:db8:0:0:0:0:0:0/64"],
  ["2001:db8:0:0:ffff::1", undefined, undefined, "2001:db8:0:0:0:0:0:0/64"],
  ["fe80::1%eth0", undefined, undefined, "fe80:0:0:0:0:0:0:0/64"],
  [undefined, "5.6.7.8", PROXIES, null],
]) {
  test(`${remoteAddress}, X-Forwarded-For ${JSON.stringify(forwarded)}, ${trusted ? "with" : "without"} proxies: ${expected} [ROB-771]`, () => {
    assert.equal(addressOf(remoteAddress, forwarded, trusted), expected);
  });
}

test("groups IPv6 addresses by as many bits as told to [ROB-771]", () => {
  assert.equal(addressOf("2001:db8:1:fff0::1", undefined, undefined, 56), "2001:db8:1:ff00:0:0:0:0/56");
  assert.equal(addressOf("2001:db8::1", undefined, undefined, 128), "2001:db8:0:0:0:0:0:1/128");
  assert.equal(addressOf("2001:db8::1", undefined, undefined, 0), "0:0:0:0:0:0:0:0/0");
});

for (const [given, met] of [
  ["10.0.0.1", /met string/],
  [["localhost"], /met "localhost"/],
  [["10.0.0.0/33"], /met "10\.0\.0\.0\/33"/],
  [["10.0.0.0/"], /met "10\.0\.0\.0\/"/],
  [["::/129"], /met "::\/129"/],
  [["1.2.3.4/8/9"], /met/],
  [[5], /met number/],
]) {
  test(`refuses ${JSON.stringify(given)} as trusted proxies [ROB-771]`, () => {
    assert.throws(() => proxiesOf(given), { code: "RC_ERR_OPTION", message: met });
  });
}

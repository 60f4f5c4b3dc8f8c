"""python-socketio's blocking client: goes through the acts of python.test.js and prints what it saw, one JSON value a line."""

import json
import sys
import threading

import engineio
import socketio

url, transports, bursts = sys.argv[1], sys.argv[2].split(","), map(int, sys.argv[3].split(","))
client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.05)
heard, numbers, connects, refusals = [], [], [], []
awaited = 0
events = {name: threading.Event() for name in ("heard", "numbers", "again", "refused", "shop")}


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": list(value)}
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def say(name, value):
    print(json.dumps([name, plain(value)]), flush=True)


def wait(name):
    if not events[name].wait(20):
        raise TimeoutError(name)
    events[name].clear()


@client.event
def connect():
    connects.append(client.sid)
    if len(connects) == 2:
        events["again"].set()


@client.on("heard")
def on_heard(*values):
    heard.extend(values)
    events["heard"].set()


@client.on("question")
def on_question(*values):
    return ("answer", *values)


@client.on("n")
def on_number(number):
    numbers.append(number)
    if len(numbers) == awaited:
        events["numbers"].set()


@client.on("hint", namespace="/shop")
def on_hint(*values):
    say("shop hint", values)
    events["shop"].set()


def on_refusal(data):
    refusals.append(data)
    events["refused"].set()


client.on("connect_error", on_refusal, namespace="/closed")

client.connect(url, transports=transports, namespaces=["/", "/shop"], auth={"token": "a b"}, wait_timeout=15)
say("packets in a payload", engineio.payload.Payload.max_decode_packets)
say("acknowledged", client.call("ask", (1, "é€🦊", {"a": [None, True, 1.5]}, b"\x00\x1e\xff"), timeout=15))
client.emit("repeat", ("text", {"deep": b"\x01"}, b""))
wait("heard")
say("heard", heard)
say("asked", client.call("ask me", timeout=15))
say("shop", client.call("ask", "in the shop", namespace="/shop", timeout=15))
client.emit("hint me", namespace="/shop")
wait("shop")
for count in bursts:
    awaited = count
    numbers.clear()
    client.emit("burst", count)
    wait("numbers")
    say("burst", [count, numbers == list(range(count))])
say("transport", client.transport())
say("connections", len(connects))
before = client.sid
client.emit("cut me")
wait("again")
say("again", [client.sid != before, client.call("ask", "back", timeout=15)])
client.disconnect()

refused = socketio.Client(reconnection=False)
refused.on("connect_error", on_refusal, namespace="/closed")
try:
    refused.connect(url, transports=transports, namespaces=["/closed"], wait_timeout=1)
    say("refused", "connected")
except socketio.exceptions.ConnectionError:
    wait("refused")
    say("refused", refusals)
say("end", True)

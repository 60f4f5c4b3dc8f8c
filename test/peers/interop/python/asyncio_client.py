"""python-socketio's asyncio client: goes through the acts of python.test.js and prints what it saw, one JSON value a line."""

import asyncio
import json
import sys

import aiohttp
import engineio
import socketio

url, transports, bursts = sys.argv[1], sys.argv[2].split(","), map(int, sys.argv[3].split(","))
if len(sys.argv) > 4:  # window bits: the WebSocket offers compression, and compresses every message
    connect_plainly = aiohttp.ClientSession.ws_connect
    aiohttp.ClientSession.ws_connect = lambda *args, **options: connect_plainly(*args, compress=int(sys.argv[4]), **options)
client = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.05)
heard, numbers, connects, refusals = [], [], [], []
awaited = 0
events = {name: asyncio.Event() for name in ("heard", "numbers", "again", "refused", "shop")}


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": list(value)}
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def say(name, value):
    print(json.dumps([name, plain(value)]), flush=True)


async def wait(name):
    await asyncio.wait_for(events[name].wait(), 20)
    events[name].clear()


@client.event
async def connect():
    connects.append(client.sid)
    if len(connects) == 2:
        events["again"].set()


@client.on("heard")
async def on_heard(*values):
    heard.extend(values)
    events["heard"].set()


@client.on("question")
async def on_question(*values):
    return ("answer", *values)


@client.on("n")
async def on_number(number):
    numbers.append(number)
    if len(numbers) == awaited:
        events["numbers"].set()


@client.on("hint", namespace="/shop")
async def on_hint(*values):
    say("shop hint", values)
    events["shop"].set()


async def on_refusal(data):
    refusals.append(data)
    events["refused"].set()


client.on("connect_error", on_refusal, namespace="/closed")


async def main():
    global awaited
    await client.connect(url, transports=transports, namespaces=["/", "/shop"], auth={"token": "a b"}, wait_timeout=15)
    say("packets in a payload", engineio.payload.Payload.max_decode_packets)
    say("acknowledged", await client.call("ask", (1, "é€🦊", {"a": [None, True, 1.5]}, b"\x00\x1e\xff"), timeout=15))
    await client.emit("repeat", ("text", {"deep": b"\x01"}, b""))
    await wait("heard")
    say("heard", heard)
    say("asked", await client.call("ask me", timeout=15))
    say("shop", await client.call("ask", "in the shop", namespace="/shop", timeout=15))
    await client.emit("hint me", namespace="/shop")
    await wait("shop")
    for count in bursts:
        awaited = count
        numbers.clear()
        await client.emit("burst", count)
        await wait("numbers")
        say("burst", [count, numbers == list(range(count))])
    say("transport", client.transport())
    say("connections", len(connects))
    before = client.sid
    await client.emit("cut me")
    await wait("again")
    say("again", [client.sid != before, await client.call("ask", "back", timeout=15)])
    await client.disconnect()

    refused = socketio.AsyncClient(reconnection=False)
    refused.on("connect_error", on_refusal, namespace="/closed")
    try:
        await refused.connect(url, transports=transports, namespaces=["/closed"], wait_timeout=1)
        say("refused", "connected")
    except socketio.exceptions.ConnectionError:
        await wait("refused")
        say("refused", refusals)
    say("end", True)


asyncio.run(main())

"""A Python program that emits to the sockets of a cluster over Redis: what the classic adapter for Redis documents about its messages, written by hand."""

import json
import sys

import msgpack
import redis

url, key = sys.argv[1], sys.argv[2]
client = redis.Redis.from_url(url)


def emit(rooms, *data, excluded=()):
    packet = {"type": 2, "data": data, "nsp": "/"}
    room = f"{rooms[0]}#" if len(rooms) == 1 else ""
    client.publish(f"{key}#/#{room}", msgpack.packb(["emitter", packet, {"rooms": rooms, "except": excluded, "flags": {}}]))


def command(number, **body):
    client.publish(f"{key}-request#/#", json.dumps({"uid": "emitter", "type": number, **body}))


def everywhere(rooms=()):
    return {"rooms": rooms, "except": []}


for line in sys.stdin:
    act, *args = json.loads(line)
    if act == "emit":
        emit(args[0], "x", *args[1:])
    elif act == "bytes":
        emit(args[0], "x", b"\x01\x02\xfa")
    elif act == "except":
        emit([], "x", *args[1:], excluded=args[0])
    elif act == "join":
        command(2, opts=everywhere([args[0]]), rooms=args[1])
    elif act == "leave":
        command(3, opts=everywhere(), rooms=args[0])
    elif act == "disconnect":
        command(4, opts=everywhere([args[0]]), close=True)
    elif act == "tell":
        command(6, data=args)

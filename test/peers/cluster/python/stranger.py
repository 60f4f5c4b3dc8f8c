"""An external process of python-socketio: its Redis manager, with the channel of its documentation or another one."""

import sys

import socketio

url, channel = sys.argv[1], sys.argv[2]
manager = socketio.RedisManager(url, channel=channel, write_only=True)
manager.emit("x", {"from": "python"})
manager.emit("x", b"\x01\x02\xfa", room="r")
print("done", flush=True)

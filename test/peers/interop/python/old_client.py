"""socketIO-client 0.6: tries to open a session and prints what came of it."""

import sys

from socketIO_client import SocketIO

try:
    SocketIO("http://127.0.0.1", int(sys.argv[1]), transports=sys.argv[2].split(","), wait_for_connection=False)
    print("connected")
except BaseException as error:
    print(type(error).__name__)

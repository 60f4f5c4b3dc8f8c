#!/bin/sh
# Installs Debian's Python clients when they are missing. Fails where that is impossible.
set -eu

has_all() {
  /usr/bin/python3 -c 'import aiohttp, requests, socketIO_client, socketio, websocket' 2>/dev/null
}

has_all && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "No Python clients: install python3-socketio python3-socketio-client python3-aiohttp python3-requests python3-websocket." >&2
  exit 1
fi
exec 9>/tmp/roomcast-python-setup.lock
flock 9
has_all && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends \
  python3-socketio python3-socketio-client python3-aiohttp python3-requests python3-websocket >/dev/null
has_all

#!/bin/sh
# Installs Debian's Chromium when it is missing. Called by the tests of this folder; several may call it at once.
set -eu

[ -x "${CHROMIUM:-/usr/bin/chromium}" ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "No Chromium at ${CHROMIUM:-/usr/bin/chromium}: install the package chromium, or set CHROMIUM to the binary." >&2
  exit 1
fi
exec 9>/tmp/roomcast-chromium-setup.lock
flock 9
[ -x /usr/bin/chromium ] && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends chromium >/dev/null

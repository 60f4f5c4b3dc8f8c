#!/usr/bin/env bash
# Starts two workers and nginx in front of them, on http://localhost:8080 or PORT. SIGHUP replaces the workers one after another, SIGTERM ends all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

port=${PORT:-8080}
ports=("${PORT_A:-3001}" "${PORT_B:-3002}")
run=$(mktemp -d)
chmod 711 "$run" # started by root, nginx works as another user, who must reach its files
export RUN_DIRECTORY=$run/workers
mkdir -m 700 "$RUN_DIRECTORY" # the sockets between the workers: for this user alone
workers=()

start_worker() { # INDEX: starts one, and waits until it takes clients
  PORT=${ports[$1]} node server.js &
  workers[$1]=$!
  until curl -fs -o /dev/null "http://127.0.0.1:${ports[$1]}/ready"; do
    kill -0 "${workers[$1]}" || return 1 # it has ended: its output says why
    sleep 0.1
  done
}

stop() { # PID: asks it to drain, and waits until it has; a signal interrupts one `wait`
  kill -TERM "$1" 2>/dev/null || return 0
  while kill -0 "$1" 2>/dev/null; do wait "$1" || true; done
}

replace_workers() {
  for i in 0 1; do
    echo "replacing worker ${workers[$i]}"
    stop "${workers[$i]}"
    start_worker "$i"
  done
  echo "replaced"
}

end() {
  trap '' TERM INT HUP
  for pid in "${workers[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${workers[@]}"; do stop "$pid"; done
  if [ -n "${nginx:-}" ]; then kill -QUIT "$nginx" 2>/dev/null && wait "$nginx" || true; fi
  rm -rf "$run"
}
trap end EXIT
trap 'exit 0' TERM INT
trap 'wanted=yes' HUP

start_worker 0
start_worker 1
sed -e "s|{RUN}|$run|g" -e "s|{PORT}|$port|" -e "s|{PORT_A}|${ports[0]}|" -e "s|{PORT_B}|${ports[1]}|" nginx.conf >"$run/nginx.conf"
nginx -e stderr -p "$run" -c "$run/nginx.conf" &
nginx=$!
echo "nginx listens on http://localhost:$port, SIGHUP replaces the workers of process $$"

wanted=no
while kill -0 "$nginx" 2>/dev/null; do
  wait "$nginx" || true # until nginx ends, or a signal comes
  if [ "$wanted" = yes ]; then
    wanted=no
    replace_workers
  fi
done
exit 1 # nginx has ended by itself

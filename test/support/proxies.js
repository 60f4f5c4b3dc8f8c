import { spawnSync } from "node:child_process";

/** Whether these can be run; `.ci/run` installs them on Debian. */
export const hasNginx = spawnSync("nginx", ["-v"]).error === undefined;
export const hasHaproxy = spawnSync("haproxy", ["-v"]).error === undefined;

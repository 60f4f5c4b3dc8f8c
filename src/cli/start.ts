// `roomcast start`: a server in several workers.
import cluster from "node:cluster";
import { existsSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { ignore } from "../support/ignore";
import { start as startWorkers, type StartOptions } from "../cluster/workers/start";
import { integerOf, onlyOne, readArgs, ArgumentError, type Command, type CommandIo, type ExitCode } from "./command";

const HELP = `Usage: roomcast start FILE [options]

Runs a server in several workers of this machine. FILE is a module whose default export is a Server of roomcast, or a function that gives one:
then the command listens. A module without such an export has to listen by itself.

Options:
  -w, --workers NUMBER   default: as many as the processor runs at a time
  -p, --port NUMBER      default: the environment variable PORT, else 3000
      --host ADDRESS     default: all addresses
  -h, --help
  -v, --version

SIGTERM and SIGINT drain the workers and end, SIGHUP replaces them one after another.

Examples:
  npx roomcast start app.js --workers 4
  PORT=8080 npx roomcast start dist/server.mjs

Exit codes: 0 ended by a signal, 1 no worker could be started, 2 wrong arguments.
`;

export const start: Command = { help: HELP, run };

async function run(args: string[], { load }: CommandIo): Promise<ExitCode> {
  const options = read(args, load);
  // Nobody reads the log any more, or its disk is full: that must not end the server. Workers have the program's own ideas about it.
  if (cluster.isPrimary) for (const stream of [process.stdout, process.stderr]) stream.on("error", ignore);
  try {
    await startWorkers(options);
    return undefined;
  } catch (error) {
    process.stderr.write(`roomcast: ${String((cluster.isWorker && (error as Error).stack) || (error as Error).message)}\n`);
    return 1;
  }
}

function read(args: string[], load: CommandIo["load"]): StartOptions {
  const { values, positionals } = readArgs(args, {
    workers: { type: "string", short: "w" },
    port: { type: "string", short: "p" },
    host: { type: "string" },
  });
  const file = onlyOne("start", "file", positionals);
  const path = resolve(file);
  if (!existsSync(path)) throw new ArgumentError(`start: there is no file ${JSON.stringify(file)}`);
  const options: StartOptions = {
    server: async () => {
      const { default: exported } = await load(pathToFileURL(path).href);
      if (typeof exported === "function") return (exported as StartOptions["server"])();
      if (typeof (exported as { attach?: unknown } | null | undefined)?.attach === "function") return exported as never;
      if (exported === undefined || isEmptyExport(exported, path)) return undefined;
      throw new Error(
        `start: expected the default export of ${file} to be a Server of roomcast or a function, or none, met ${inspect(exported, { depth: 0 })}`,
      );
    },
  };
  if (values.workers !== undefined) options.workers = integerOf("--workers", values.workers, 1, 1_024);
  if (values.port !== undefined) options.port = integerOf("--port", values.port, 0, 65_535);
  if (values.host !== undefined) options.host = values.host;
  return options;
}

/** What `import()` gives for a module of CommonJS without a default export: its object `exports`. */
function isEmptyExport(exported: unknown, path: string): boolean {
  if (typeof exported !== "object" || exported === null || Object.getPrototypeOf(exported) !== Object.prototype) return false;
  return Object.keys(exported).length === 0 || require.cache[realpathSync(path)]?.exports === exported;
}

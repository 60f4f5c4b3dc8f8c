// The command `roomcast`: finds the command that is meant, and loads nothing else.
import { ignore } from "../support/ignore";
import { ownVersion } from "../support/own-version";
import { ArgumentError, printable, type Command, type CommandIo, type ExitCode } from "./command";

const HELP = `Usage: roomcast COMMAND [options]

Commands:
  start FILE    runs a server in several workers of this machine
  serve DIR     serves a folder, and relays what its pages send to each other
  tap URL       connects to a server, prints what it sends, and sends what you type
  load URL      connects many clients, and measures how the server answers
  doctor URL    finds what is wrong between clients and a server, and says which line fixes it

  -h, --help    of a command: roomcast COMMAND --help
  -v, --version

Examples:
  npx roomcast start app.js --workers 4
  npx roomcast serve public
  npx roomcast tap http://localhost:3000/chat --emit 'join "tea"'
  npx roomcast load http://localhost:3000 --clients 500 --ask ping
  npx roomcast doctor https://chat.example.com --origin https://example.com

Exit codes: 0 all is well, 1 the command says why not, 2 wrong arguments.
`;

const commands: Readonly<Record<string, () => Command>> = {
  start: () => (require("./start") as { start: Command }).start,
  serve: () => (require("./serve") as { serve: Command }).serve,
  tap: () => (require("./tap") as { tap: Command }).tap,
  load: () => (require("./load") as { load: Command }).load,
  doctor: () => (require("./doctor") as { doctor: Command }).doctor,
};

/**
 * Runs the command, and ends the process with its exit code, unless it goes on running.
 * @param load  `import`, which these files cannot have: they are compiled to CommonJS
 */
export async function runCli(args: string[], load: CommandIo["load"]): Promise<void> {
  const code = await run(args, load);
  if (code !== undefined) endWith(code);
}

async function run(args: string[], load: CommandIo["load"]): Promise<ExitCode> {
  const [name, ...rest] = args;
  const isHelp = rest.includes("--help") || rest.includes("-h");
  const isVersion = rest.includes("--version") || rest.includes("-v");
  // A program of `start` has its own ideas about its output.
  if (name !== "start" || isHelp || isVersion) endWithReader();
  if (name === "--version" || name === "-v") return say(`${ownVersion()}\n`);
  if (name === "--help" || name === "-h" || name === "help") return say(HELP);
  try {
    if (name === undefined) throw new ArgumentError("expected a command");
    if (!Object.hasOwn(commands, name)) throw new ArgumentError(`unknown command ${JSON.stringify(name)}`);
    const command = commands[name]();
    if (isHelp) return say(command.help);
    if (isVersion) return say(`${ownVersion()}\n`);
    return await command.run(rest, { load });
  } catch (error) {
    if (!(error instanceof ArgumentError)) {
      process.stderr.write(`roomcast: ${name}: ${printable(error instanceof Error ? error.message : String(error))}\n`);
      return 1;
    }
    process.stderr.write(
      `roomcast: ${error.message}\nTry: roomcast ${name !== undefined && Object.hasOwn(commands, name) ? `${name} ` : ""}--help\n`,
    );
    return 2;
  }
}

/** Ends the process, whatever is still open, once the output is written: what waits for a slow reader would be lost. */
function endWith(code: number): void {
  const end = (): void => process.exit(process.exitCode || code);
  process.stdout.write("", () => process.stderr.write("", () => setImmediate(end))); // behind the errors of the output
}

/** Who reads the output has seen enough, as in `roomcast tap … | head -1`; or it cannot be written. */
function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    process.exitCode = 1;
    process.stderr.write(`roomcast: the output cannot be written: ${error.message}\n`, () => process.exit());
  });
  process.stderr.on("error", ignore);
}

function say(text: string): ExitCode {
  process.stdout.write(text);
  return 0;
}

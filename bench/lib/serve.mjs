// The child's side of child.mjs.

/** Answers commands that the parent sends: `commands[name](argument)`, a value or a promise of it. */
export function answerCommands(commands) {
  process.on("message", async ({ id, name, argument }) => {
    try {
      process.send({ id, result: await commands[name](argument) });
    } catch (error) {
      process.send({ id, error: String(error?.stack ?? error) });
    }
  });
  process.on("disconnect", () => process.exit());
}

export const ready = (result) => process.send({ id: 0, result });

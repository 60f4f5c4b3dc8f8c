// The child's side of the commands of child.mjs.

/** Answers commands of the parent: `commands[name](argument)` returns a value or a promise. */
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

// Tables of a link to PostgreSQL: made if they are not there.
import type { PostgresConnection } from "./connection";

/**
 * Makes a table unless it is there. Needs the right to do so only if it is not.
 * @param columns  their definitions, in SQL
 * @throws Error with the statement that an operator has to run
 */
export async function makeTable(connection: PostgresConnection, name: string, columns: string): Promise<void> {
  const isThere = async (): Promise<boolean> => {
    const [row] = await connection.query({ text: "SELECT to_regclass($1) IS NOT NULL AS found", values: [name] });
    return row.found === true;
  };
  if (await isThere()) return;
  const text = `CREATE TABLE IF NOT EXISTS ${name} (${columns})`;
  try {
    await connection.query({ text });
  } catch (cause) {
    if (await isThere()) return; // another node has made it at the same time
    throw new Error(`run as its owner: ${text}; (${(cause as Error).message})`, { cause });
  }
}

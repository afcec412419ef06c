// fetch of Node: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results.
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const [url, out] = process.argv.slice(2);
const get = (name, headers = {}) => fetch(url + name, { headers, signal: AbortSignal.timeout(60_000) });
const save = async (name, ...pieces) => writeFile(`${out}/${name}`, Buffer.concat(pieces));
const content = async (response) => Buffer.from(await response.arrayBuffer());

const whole = await get("large.bin");
await pipeline(Readable.fromWeb(whole.body), createWriteStream(`${out}/whole`));
const tag = whole.headers.get("ETag");
const middle = await get("large.bin", { Range: "bytes=1000-70000" });
await save("middle", await content(middle));
const suffix = await get("large.bin", { Range: "bytes=-1000" });
await save("suffix", await content(suffix));

const cut = new AbortController();
let first = Buffer.alloc(0);
for await (const piece of (await fetch(`${url}large.bin`, { signal: cut.signal })).body) {
    first = Buffer.concat([first, piece]);
    if (first.length >= 100_000) break;
}
cut.abort();
const rest = await get("large.bin", { Range: `bytes=${first.length}-`, "If-Range": tag });
await save("resumed", first, await content(rest));

const unchanged = await get("large.bin", { "If-None-Match": tag });
await save("odd", await content(await get("odd%20%23name.bin")));
const head = await fetch(`${url}large.bin`, { method: "HEAD" });
await Promise.all([...Array(20).keys()].map(async (number) => save(`many-${number}`, await content(await get("small.bin")))));
console.log("HTTP/1.1", middle.status, suffix.status, rest.status, unchanged.status, head.headers.get("Content-Length"));

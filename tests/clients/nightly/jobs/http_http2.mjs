// http2 of Node: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results.
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect, constants } from "node:http2";
import { pipeline } from "node:stream/promises";

const [url, out] = process.argv.slice(2);
const session = connect(url);
session.setTimeout(60_000, () => session.destroy(new Error("no progress")));

const ask = (name, fields = {}, method = "GET") =>
    new Promise((resolve, reject) => {
        const stream = session.request({ ":path": `/${name}`, ":method": method, ...fields });
        stream.on("response", (headers) => resolve({ headers, stream, status: headers[":status"] }));
        stream.on("error", reject);
    });
const content = async ({ stream }) => Buffer.concat(await stream.toArray());
const save = async (name, ...pieces) => writeFile(`${out}/${name}`, Buffer.concat(pieces));

const whole = await ask("large.bin");
await pipeline(whole.stream, createWriteStream(`${out}/whole`));
const tag = whole.headers.etag;
const middle = await ask("large.bin", { range: "bytes=1000-70000" });
await save("middle", await content(middle));
const suffix = await ask("large.bin", { range: "bytes=-1000" });
await save("suffix", await content(suffix));

const cut = await ask("large.bin");
const first = await new Promise((resolve) => {
    let got = Buffer.alloc(0);
    cut.stream.on("data", (piece) => {
        got = Buffer.concat([got, piece]);
        if (got.length >= 100_000) {
            cut.stream.removeAllListeners("data");
            cut.stream.close(constants.NGHTTP2_CANCEL);
            resolve(got);
        }
    });
});
const rest = await ask("large.bin", { range: `bytes=${first.length}-`, "if-range": tag });
await save("resumed", first, await content(rest));

const unchanged = await ask("large.bin", { "if-none-match": tag });
unchanged.stream.resume();
await save("odd", await content(await ask("odd%20%23name.bin")));
const head = await ask("large.bin", {}, "HEAD");
head.stream.resume();
await Promise.all([...Array(20).keys()].map(async (number) => save(`many-${number}`, await content(await ask("small.bin")))));
console.log("HTTP/2", middle.status, suffix.status, rest.status, unchanged.status, head.headers["content-length"]);
session.close();

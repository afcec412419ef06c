// Reads one response over HTTP/2 with Node's default windows of 64 KiB. Prints its bytes and the seconds it took.
const http2 = require('http2');
const began = process.hrtime.bigint();
const url = new URL(process.argv[2]);
const client = http2.connect(url.origin, { rejectUnauthorized: false });
const request = client.request({ ':path': url.pathname });
let bytes = 0;
request.on('data', (data) => { bytes += data.length; });
request.on('end', () => {
  console.log(bytes, Number(process.hrtime.bigint() - began) / 1e9);
  client.close();
});

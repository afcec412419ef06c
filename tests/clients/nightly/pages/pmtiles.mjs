// pmtiles: the digests of tiles. With `replace`, a tile is read before and after the archive is replaced.
import { PMTiles } from "pmtiles";
import { digest } from "./digest.mjs";

let kept;

export default async (url, tiles, again = false) => {
  kept = again ? kept : new PMTiles(url);
  const { numTileEntries, maxZoom } = await kept.getHeader();
  const digests = {};
  for (const [z, x, y] of tiles) digests[`${z}/${x}/${y}`] = await digest((await kept.getZxy(z, x, y)).data);
  return { numTileEntries, maxZoom, name: (await kept.getMetadata()).name, digests };
};

// geotiff.js: windows of the image and of an overview. With `maxRanges`, several ranges in one request.
import "/packages/geotiff/dist-browser/geotiff.js";
import { digest } from "./digest.mjs";

export default async (url, windows, maxRanges) => {
  const tiff = await GeoTIFF.fromUrl(url, { maxRanges });
  const count = await tiff.getImageCount();
  const digests = [];
  for (const [level, window] of windows) {
    const image = await tiff.getImage(level);
    digests.push(await digest(await image.readRasters({ window, interleave: true })));
  }
  return { count, digests };
};

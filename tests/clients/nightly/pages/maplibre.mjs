// maplibre-gl with the protocol of pmtiles: draws a map of raster tiles. Returns the colour of a point of its picture.
import * as maplibregl from "maplibre-gl";
import { Protocol } from "pmtiles";

export default async (url, center, zoom) => {
  maplibregl.addProtocol("pmtiles", new Protocol().tile);
  const map = new maplibregl.Map({
    container: "map",
    center,
    zoom,
    attributionControl: false,
    fadeDuration: 0,
    canvasContextAttributes: { preserveDrawingBuffer: true },
    style: {
      version: 8,
      sources: { tiles: { type: "raster", url: `pmtiles://${url}`, tileSize: 512 } },
      layers: [{ id: "tiles", type: "raster", source: "tiles", paint: { "raster-fade-duration": 0 } }],
    },
  });
  await new Promise((resolve, reject) => {
    map.once("idle", resolve);
    map.on("error", ({ error }) => reject(error));
  });
  const copy = new OffscreenCanvas(256, 256).getContext("2d");
  copy.drawImage(map.getCanvas(), 0, 0, 256, 256);
  return Array.from(copy.getImageData(128, 128, 1, 1).data);
};

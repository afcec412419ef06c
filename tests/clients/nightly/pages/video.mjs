// <video crossorigin>: seeks, and reads the picture from a canvas, which only data of an allowed origin permits.
const event = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

export default async (url, positions) => {
  const video = document.querySelector("video");
  video.crossOrigin = "anonymous";
  video.src = url;
  const failed = event(video, "error").then(() => Promise.reject(new Error(video.error.message)));
  await Promise.race([event(video, "loadeddata"), failed]);
  const canvas = new OffscreenCanvas(32, 32).getContext("2d");
  const pictures = [];
  for (const position of positions) {
    video.currentTime = position;
    await Promise.race([event(video, "seeked"), failed]);
    canvas.drawImage(video, 0, 0, 32, 32);
    pictures.push(canvas.getImageData(0, 0, 32, 32).data.join());
  }
  return { duration: Math.round(video.duration), different: new Set(pictures).size };
};

// hls.js: plays from the start and from a position. Returns the size of the picture and the errors that ended it.
import Hls from "hls.js";

const event = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

export default async (url, position) => {
  const video = document.querySelector("video");
  const player = new Hls();
  const failed = new Promise((_, reject) =>
    player.on(Hls.Events.ERROR, (_name, data) => data.fatal && reject(new Error(`${data.type}: ${data.details}`))),
  );
  const played = (async () => {
    player.loadSource(url);
    player.attachMedia(video);
    await event(video, "loadeddata");
    const { duration } = video;
    video.currentTime = position;
    await event(video, "seeked");
    await video.play();
    while (video.currentTime < position + 0.5) await event(video, "timeupdate");
    return { duration: Math.round(duration), width: video.videoWidth, height: video.videoHeight };
  })();
  try {
    return await Promise.race([failed, played]);
  } finally {
    player.destroy();
  }
};

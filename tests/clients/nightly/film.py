"""Films for the tests of players, made by ffmpeg."""

from __future__ import annotations

from pathlib import Path

from programs import done

FFMPEG = ("ffmpeg", "-nostdin", "-loglevel", "error")
SECONDS = 20


def make_film(there: Path) -> Path:
    """Make a film: an MP4 whose index is at its end, and HLS, with a file for each segment and one for all."""
    source = ("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi", "-i", "sine=frequency=440")
    codecs = ("-t", str(SECONDS), "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "3M", "-g", "25", "-c:a", "aac")
    # Chromium plays 4:2:0 only.
    done(*FFMPEG, *source, *codecs, "-pix_fmt", "yuv420p", "film.mp4", within=there)
    copy = (*FFMPEG, "-i", "film.mp4", "-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod")
    done(*copy, "segments.m3u8", within=there)
    done(*copy, "-hls_flags", "single_file", "one.m3u8", within=there)
    return there / "film.mp4"

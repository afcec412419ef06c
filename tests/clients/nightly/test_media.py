"""Players: HLS, and positions within an MP4. ffmpeg compares checksums of the decoded frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from film import FFMPEG, make_film
from programs import done

from support.servers import Serve


def frames(*source: str, within: Path) -> list[str]:
    """Return the checksums of the decoded frames of video and sound."""
    return done(*FFMPEG, *source, "-f", "framemd5", "-", within=within).splitlines()


@pytest.fixture
def film(there: Path) -> Path:
    """Make a film to serve."""
    return make_film(there)


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("name", ["film.mp4", "segments.m3u8", "one.m3u8"])
@pytest.mark.parametrize("position", ["0", "13.5"])
def test_ffmpeg_plays_the_same_frames_from_any_position(
    serve: Serve, there: Path, here: Path, film: Path, name: str, position: str
) -> None:
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/{name}"
    got = frames("-ss", position, "-i", url, within=here)
    assert len(got) > 200 and got == frames("-ss", position, "-i", str(there / name), within=here)


@pytest.mark.needs("mpv", "ffmpeg")
@pytest.mark.parametrize("name", ["film.mp4", "segments.m3u8"])
def test_mpv_plays_to_the_end_from_the_start_and_from_a_position(
    serve: Serve, there: Path, here: Path, film: Path, name: str
) -> None:
    """Without a screen or a loudspeaker, as fast as it decodes. It counts the frames at the end."""
    server = serve(there)
    mpv = (
        "mpv",
        "--no-config",
        "--vo=null",
        "--ao=null",
        "--ao-null-untimed",
        "--untimed",
        "--no-ytdl",
        "--term-status-msg=at ${time-pos}",
    )
    url = f"http://127.0.0.1:{server.port}/{name}"
    for start in ("0", "15"):
        said = done(*mpv, f"--start={start}", url, within=here)
        assert "(End of file)" in said and "Error" not in said, said

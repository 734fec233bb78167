"""Frames of a video as pictures, for models that accept only pictures."""

from __future__ import annotations

import io

from glmv_emulator.eyes.picture import Unreadable

MOST_FRAMES = 8
LONGEST_SIDE = 768  # pixels; a local model processes a picture of this size in seconds


def sampled_frames(data: bytes, seconds: float) -> list[tuple[float, bytes]]:
    """Up to eight frames at equal intervals: (time in seconds, frame as JPEG). ``seconds`` is the video's duration.

    Raises:
        ImportError: PyAV is not installed.
        Unreadable: no frame can be decoded.
    """
    import av

    frames: list[tuple[float, bytes]] = []
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            for number in range(MOST_FRAMES):
                target = seconds * number / MOST_FRAMES
                if number:
                    container.seek(int(target * 1_000_000))
                for frame in container.decode(stream):
                    at = float(frame.time or 0)
                    if at + 1e-3 >= target:
                        if not frames or at > frames[-1][0]:
                            frames.append((at, _jpeg(frame)))
                        break
    except (av.FFmpegError, IndexError, ValueError) as problem:
        raise Unreadable(f"its frames cannot be decoded ({problem})") from None
    if not frames:
        raise Unreadable("it has no frames")
    return frames


def _jpeg(frame: object) -> bytes:
    picture = frame.to_image()  # type: ignore[attr-defined] # PyAV's classes have no stable public type
    if rotation := getattr(frame, "rotation", 0):
        picture = picture.rotate(rotation, expand=True)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()

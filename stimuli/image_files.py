"""PNG and JPEG files as RGB arrays, whatever their size, palette, depth or transparency."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from samediff_stimuli.recipe import InputError

MAX_SIDE = 4096  # pixels
SUFFIXES = (".png", ".jpg", ".jpeg")
_WHITE = 255
_GREY16 = ("I", "I;16", "I;16B", "I;16L")  # 16-bit greyscale; which one is Pillow's release
_CLEAR = ("RGBA", "LA", "PA")
_PLAIN = ("RGB", "L", "P", "1", "CMYK")
_ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """What an image file is, apart from its pixels.

    Attributes:
        kind: "PNG" or "JPEG".
        mode: Pillow's colour mode of the file, e.g. "L".
        width: of the file as it is shown, in pixels.
        height: of the file as it is shown, in pixels.
        clear: whether it had transparency, now white.
        turned: whether its EXIF orientation was applied.
        n_bytes: size of the file.
        sha256: of the file, hex.
    """

    kind: str
    mode: str
    width: int
    height: int
    clear: bool
    turned: bool
    n_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the images of a dataset lie, row by row, and what they must show.

    Attributes:
        folder: the imported folder, absolute.
        files: path of each row's file relative to it, the rows of all splits in order.
        digests: SHA-256 of each row's image, 32 bytes each, as `digest_of` gives it.
        size: side that images are brought to, or None.
    """

    folder: Path
    files: tuple[str, ...] = field(repr=False)
    digests: bytes = field(repr=False)
    size: int | None

    def image(self, number: int) -> NDArray[np.uint8]:
        """The (height, width, 3) uint8 image of one row.

        Raises:
            InputError: if the file is gone, or shows something else than when it was listed.
        """
        path = self.folder / self.files[number]
        image, _ = read(path, self.size)
        if digest_of(image) != self.digests[32 * number : 32 * (number + 1)]:
            raise InputError(f"{path} changed while it was imported; import the folder again")
        return image


def as_picture(image: NDArray[np.uint8]) -> Image.Image:
    """A (height, width, c) uint8 image as Pillow's, grey or RGB."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def digest_of(image: NDArray[np.uint8]) -> bytes:
    """What `ImagesDigest` says of a single image, as 32 bytes."""
    from samediff_stimuli.shards import ImagesDigest

    digest = ImagesDigest()
    digest.update(image)
    return bytes.fromhex(digest.hexdigest())


def read(path: Path, size: int | None = None) -> tuple[NDArray[np.uint8], FileInfo]:
    """Read a PNG or JPEG file.

    Transparency becomes white; 16-bit greyscale is divided by 257; the EXIF orientation of JPEG
    files is applied; colour profiles are not.

    Args:
        path: the file.
        size: side in pixels: the image is padded with white to a square, then resized to it.

    Returns:
        (height, width, 3) uint8 RGB, C-contiguous, and what the file is.

    Raises:
        InputError: a file that cannot be read, is broken, cut off, animated or too large.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as opened:
            _check(opened, path)
            kind, mode = str(opened.format), opened.mode
            turned = kind == "JPEG" and opened.getexif().get(_ORIENTATION, 1) in range(2, 9)
            shown = ImageOps.exif_transpose(opened) if turned else opened
            clear = mode in _CLEAR or "transparency" in opened.info
            image = _rgb(shown, clear)
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path} is too large: a side may have {MAX_SIDE} pixels") from error
    except UnidentifiedImageError as error:
        what = "is cut off, or no PNG or JPEG inside" if data else "is empty"
        raise InputError(f"{path} {what}; mend or remove it") from error
    except Exception as error:  # Pillow's decoders raise many kinds for broken files
        raise InputError(f"{path} is broken: {error}; mend or remove it") from error
    height, width = image.shape[:2]
    info = FileInfo(
        kind=kind,
        mode=mode,
        width=width,
        height=height,
        clear=clear,
        turned=turned,
        n_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return np.ascontiguousarray(image if size is None else _squared(image, size)), info


def _check(opened: Image.Image, path: Path) -> None:
    """Refuse, before its pixels are decoded, what is no single image of a legal size."""
    frames = getattr(opened, "n_frames", 1)
    if frames > 1:
        raise InputError(f"{path} holds {frames} images; give one image a file")
    if max(opened.size) > MAX_SIDE:
        width, height = opened.size
        raise InputError(
            f"{path} is too large, {width} x {height}; a side may have {MAX_SIDE} pixels: shrink it"
        )
    if opened.mode not in (*_PLAIN, *_CLEAR, *_GREY16):
        raise InputError(f"{path} has colour mode {opened.mode}; save it as RGB")
    if opened.mode in _GREY16 and "transparency" in opened.info:
        raise InputError(f"{path} is 16-bit greyscale with transparency; save it as RGBA")


def _rgb(shown: Image.Image, clear: bool) -> NDArray[np.uint8]:
    """(height, width, 3) uint8."""
    if shown.mode in _GREY16:
        grey = np.asarray(shown).astype(np.int64) // 257
        return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    if not clear:
        return np.asarray(shown.convert("RGB"))
    pixels = np.asarray(shown.convert("RGBA")).astype(np.uint16)
    alpha = pixels[..., 3:]
    mixed = (pixels[..., :3] * alpha + _WHITE * (_WHITE - alpha) + 127) // 255
    return mixed.astype(np.uint8)


def _squared(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The image in the middle of a white square, resized to (size, size, 3)."""
    height, width = image.shape[:2]
    if height == width == size:
        return image
    side = max(height, width)
    square = Image.new("RGB", (side, side), (_WHITE,) * 3)
    square.paste(Image.fromarray(image), ((side - width) // 2, (side - height) // 2))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))

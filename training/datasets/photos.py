"""Photos of items, as a user's file holds them: bytes of JPEG or PNG, or the path of such a file.

Next: ``frozen.py``, which makes vectors of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Photo:
    """The photo of one item; opened only when it is encoded."""

    item: str
    content: bytes | Path

    def read(self) -> bytes:
        """What the file holds.

        Raises
        ------
        ValueError
            When there is no such file.
        """
        if isinstance(self.content, bytes):
            return self.content
        try:
            return self.content.read_bytes()
        except OSError as error:
            raise self._unreadable(error) from error

    def picture(self) -> Image:
        """The picture in red, green and blue, turned as the camera says.

        Raises
        ------
        ValueError
            When it is none, or broken.
        """
        from PIL import Image, ImageOps

        try:
            with Image.open(BytesIO(self.read())) as opened:
                return ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ValueError:
        return ValueError(
            f"the image of item {self.item!r} cannot be read ({error}); give the bytes of a JPEG "
            "or PNG or the path of such a file, or leave its cell empty"
        )

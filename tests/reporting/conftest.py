"""A picture small enough for a probe made by hand."""

from io import BytesIO

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def png() -> bytes:
    """A picture wider than the page shows it."""
    written = BytesIO()
    Image.new("RGB", (1600, 400), (20, 90, 160)).save(written, "PNG")
    return written.getvalue()

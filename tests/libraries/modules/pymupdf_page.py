"""A document opened from memory at import; its pages are rendered in each message."""

import pymupdf

made = pymupdf.open()
for number in range(5):
    made.new_page().insert_text((72, 72), f"page {number}")
document = pymupdf.open("pdf", made.tobytes())


def handler(body):
    page = document[body % 5]
    assert page.get_text().strip() == f"page {body % 5}"
    assert page.get_pixmap().tobytes("png").startswith(b"\x89PNG")

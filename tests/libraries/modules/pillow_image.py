import io

from PIL import Image

data = io.BytesIO()
Image.new("RGB", (200, 200), "red").save(data, "PNG")
PICTURE = Image.open(io.BytesIO(data.getvalue()))
PICTURE.load()


def handler(body):
    assert PICTURE.resize((50, 50)).getpixel((1, 1)) == (255, 0, 0)

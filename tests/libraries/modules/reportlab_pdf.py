import io

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas


def handler(body):
    made = io.BytesIO()
    canvas = Canvas(made, pagesize=A4)
    canvas.drawString(72, 72, f"invoice {body}")
    canvas.save()
    assert made.getvalue().startswith(b"%PDF")

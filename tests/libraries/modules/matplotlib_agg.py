import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def handler(body):
    figure, axes = plt.subplots()
    axes.plot([1, 2, body])
    made = io.BytesIO()
    figure.savefig(made, format="png")
    plt.close(figure)
    assert made.getvalue().startswith(b"\x89PNG")

import cv2
import numpy as np

IMAGE = np.zeros((1000, 1000, 3), np.uint8)
BLURRED = cv2.GaussianBlur(IMAGE, (31, 31), 0)


def handler(body):
    assert (cv2.GaussianBlur(IMAGE, (31, 31), 0) == BLURRED).all()

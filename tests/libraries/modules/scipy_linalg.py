import numpy as np
import scipy.linalg

A = np.eye(200) * 3 + np.ones((200, 200))
SOLVED = scipy.linalg.solve(A, np.ones(200))


def handler(body):
    assert np.allclose(scipy.linalg.solve(A, np.ones(200)), SOLVED)

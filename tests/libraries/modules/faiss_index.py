import faiss
import numpy as np

faiss.omp_set_num_threads(2)
VECTORS = np.random.default_rng(7).random((2000, 32), dtype=np.float32)
index = faiss.IndexFlatL2(32)
index.add(VECTORS)
index.search(VECTORS[:100], 3)


def handler(body):
    assert (index.search(VECTORS[:100], 3)[1][:, 0] == np.arange(100)).all()

import lightgbm
import numpy as np

X = np.random.default_rng(7).random((1000, 10))
Y = X[:, 0] > 0.5
model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y)


def handler(body):
    assert (model.predict(X[:100]) == Y[:100]).mean() > 0.9
    lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X[:200], Y[:200])

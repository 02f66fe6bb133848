import jax
import jax.numpy as jnp


@jax.jit
def total(x):
    return jnp.sum(x * 2)


VALUES = jnp.ones(1000)
assert float(total(VALUES)) == 2000.0


def handler(body):
    assert float(total(VALUES * (body + 1))) == 2000.0 * (body + 1)

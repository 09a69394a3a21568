import tensorflow as tf

from tools.bench import profile


def test_operations_are_timed_by_their_type():
    product = tf.function(lambda a: tf.linalg.matmul(a, a) + tf.math.erf(a))
    matrix = tf.random.normal((600, 600))
    product(matrix)
    seconds = profile.by_operation(lambda: product(matrix).numpy())
    assert seconds["MatMul"] > 0 and seconds["Erf"] > 0
    assert list(seconds.values()) == sorted(seconds.values(), reverse=True)

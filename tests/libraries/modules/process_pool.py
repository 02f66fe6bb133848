from concurrent.futures import ProcessPoolExecutor


def square(number):
    return number * number


def handler(body):
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(square, [body, 3])) == [body * body, 9]

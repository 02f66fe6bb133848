import multiprocessing


def square(number):
    return number * number


def handler(body):
    with multiprocessing.Pool(2) as pool:
        assert pool.map(square, [body, 3]) == [body * body, 9]

import os
import zipfile

PATH = f"{os.environ['SURROUNDINGS_OUT']}.{os.getpid()}.zip"
with zipfile.ZipFile(PATH, "w") as made:
    for number in range(20):
        made.writestr(str(number), str(number) * 5000)
archive = zipfile.ZipFile(PATH)


def handler(body):
    name = str(body % 20)
    assert archive.read(name).decode() == name * 5000

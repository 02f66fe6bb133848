"""A directory watched since the import: a file written by a message must be noticed in its worker."""

import os
import queue
import tempfile

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

FOLDER = tempfile.mkdtemp(dir=os.path.dirname(os.environ["SURROUNDINGS_OUT"]))
seen = queue.Queue()


class Watch(FileSystemEventHandler):
    def on_created(self, event):
        seen.put(os.path.basename(event.src_path))


observer = Observer()
observer.schedule(Watch(), FOLDER)
observer.start()


def handler(body):
    open(f"{FOLDER}/{body}", "w").close()
    while seen.get(timeout=20) != str(body):
        pass

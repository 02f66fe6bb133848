"""Sources of user modules, and what the import of each leaves open."""

# ruff: noqa: E501, ISC004 - each is one row of a table

from __future__ import annotations

HANDLER = "\n\ndef handler(message):\n    pass\n"
NATIVE_THREAD = """import ctypes
libc = ctypes.CDLL(None)
libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.pause, None)
"""

OFF: dict[str, tuple[str, str]] = {
    # what is left open: the code, and its name in the report
    "a file that is read": ("data = open(DATA)\ndata.readline()\n", "file  DATA, at byte "),
    "a file that is not read yet": ("data = open(DATA)\n", "file  DATA, at byte 0"),
    "an archive": ("import zipfile\narchive = zipfile.ZipFile(ARCHIVE)\n", "file  ARCHIVE, at byte"),
    "a file for writing": ("out = open(OUT, 'w')\n", "file  OUT, at byte 0, open for writing"),
    "a file for both": ("out = open(OUT, 'w+')\n", "file  OUT, at byte 0, open for reading and writing"),
    "a database in a file": ("import sqlite3\nd = sqlite3.connect(OUT)\nd.execute('create table t(i)')\n", "file  OUT"),
    "a pipe": ("import os\npipe = os.pipe()\n", "pipe  pipe:["),
    "a pair of sockets": ("import socket\npair = socket.socketpair()\n", "socket  to an unnamed socket"),
    "a connection": ("import socket\ns = socket.create_connection(('127.0.0.1', PORT))\n", "socket  to 127.0.0.1:PORT"),
    "a listener": ("import socket\ns = socket.socket()\ns.listen()\n", "socket  listening on 0.0.0.0:"),
    "a socket of datagrams": ("import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('127.0.0.1', 0))\n",
                              "socket  bound to 127.0.0.1:"),
    "an event loop": ("import asyncio\nloop = asyncio.new_event_loop()\n", "event loop  anon_inode:[eventpoll]"),
    "inotify": ("import ctypes\nassert ctypes.CDLL(None).inotify_init() > 0\n", "inotify  anon_inode:inotify"),
    "a timer's descriptor": ("import ctypes\nassert ctypes.CDLL(None).timerfd_create(1, 0) > 0\n",
                             "timer  anon_inode:[timerfd]"),
    "an eventfd": ("import ctypes\nassert ctypes.CDLL(None).eventfd(0, 0) > 0\n", "eventfd  anon_inode:[eventfd]"),
    "a shared memory map": ("import mmap\nm = mmap.mmap(-1, 4096)\n", "shared memory  /dev/zero"),
    "a lock between processes": ("import multiprocessing\nlock = multiprocessing.Lock()\n", "shared lock  /dev/shm/sem."),
    "a child": ("import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n", "child process  sleep 60"),
    "a helper behind a pipe": ("import subprocess\nchild = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n",
                               "child process  cat"),
    "an alarm": ("import signal\nsignal.alarm(60)\n", "timer  SIGALRM"),
    "a profiler's timer": ("import signal\nsignal.signal(signal.SIGPROF, print)\n"
                           "signal.setitimer(signal.ITIMER_PROF, 60)\n", "timer  SIGPROF"),
    "a thread": ("import threading, time\nt = threading.Thread(target=time.sleep, args=(60,), name='poller', daemon=True)\n"
                 "t.start()\n", "thread  poller"),
    "a thread of a library": (NATIVE_THREAD, "native thread  1 of "),
    "a fork handler that ends the child": ("import os\nos.register_at_fork(after_in_child=lambda: os._exit(3))\n",
                                           "fork handler  a forked child ends with code 3 at once"),
    "a generator": ("import random\nrng = random.Random()\n", "random generator  users_module.rng (random's Random)"),
    "a generator in an object": ("import random\nclass Model:\n    rng = random.Random(7)\n",
                                 "random generator  users_module.Model.rng"),
    "a generator in a list": ("import random\nrngs = [random.Random()]\n", "random generator  users_module.rngs[0]"),
}  # fmt: skip

HARMLESS: dict[str, str] = {
    "nothing": "",
    "a file that is closed": "open(DATA).read()\n",
    "a file that is appended to": "log = open(OUT, 'a')\nlog.write('x')\n",
    "a log": "import logging\nlogging.basicConfig(filename=OUT)\nlogging.warning('x')\n",
    "a file that is mapped": "import mmap\nf = open(DATA, 'rb')\nm = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\n",
    "a directory": "import os\nfolder = os.open('/', os.O_RDONLY)\n",
    "devices without state": "null, noise = open('/dev/null', 'w'), open('/dev/urandom', 'rb')\n",
    "datagrams that are sent": ("import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\n"
                                "s.connect(('127.0.0.1', 8125))\ns.send(b'a:1|c')\n"),
    "a client of BizzMQ": "import bizzmq\nmq = bizzmq.BizzMQ(URL)\nmq.create_queue('made-at-import')\n",
    "a database in memory": "import sqlite3\nd = sqlite3.connect(':memory:')\n",
    "a temporary directory": "import tempfile\nfolder = tempfile.TemporaryDirectory()\n",
    "a child that was waited for": "import subprocess\nsubprocess.run(['true'])\n",
    "a thread that has ended": ("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()\n"),
    "a program of its own": "import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait()\n",
    "SystemRandom": "import random\nrng = random.SystemRandom()\n",
    "objects that are lazy": ("class Lazy:\n    def __getattr__(self, name):\n        raise RuntimeError(name)\n"
                              "    __class__ = property(lambda self: 1 / 0)\nlazy = Lazy()\nmany = [lazy, {lazy: lazy}]\n"
                              "import sys\nsys.modules['lazy'] = lazy\n"),
    "an alarm that is cleared": "import signal\nsignal.alarm(60)\nsignal.alarm(0)\n",
    "a handler for a signal": "import signal\nsignal.signal(signal.SIGUSR2, print)\n",
}  # fmt: skip

SAFE: dict[str, str] = {
    "a file": "data = safe(open(DATA))\n",
    "a descriptor": "import os\ndata = safe(os.open(DATA, os.O_RDONLY))\n",
    "a file by its path": "data = open(DATA)\nsafe(DATA)\n",
    "sockets": "import socket\npair = [safe(one) for one in socket.socketpair()]\n",
    "a socket by its address": "import socket\ns = socket.create_connection(('127.0.0.1', PORT))\nsafe('to 127.0.0.1:PORT')\n",
    "a thread": "import threading, time\nt = threading.Thread(target=time.sleep, args=(60,), daemon=True)\nt.start()\nsafe(t)\n",
    "a thread by its name": ("import threading, time\nt = threading.Thread(target=time.sleep, args=(60,), daemon=True,"
                             " name='poller')\nt.start()\nsafe('poller')\n"),
    "a child": "import subprocess\nchild = safe(subprocess.Popen(['sleep', '60']))\n",
    "a generator": "import random\nrng = safe(random.Random())\n",
    "shared memory": "import mmap\nm = mmap.mmap(-1, 4096)\nsafe('/dev/zero')\n",
}  # fmt: skip

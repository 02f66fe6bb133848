"""A repository opened at import, with git processes behind pipes that stay open."""

import os
import tempfile

import git

repository = git.Repo.init(tempfile.mkdtemp(dir=os.path.dirname(os.environ["SURROUNDINGS_OUT"])))
with open(f"{repository.working_dir}/file", "w") as out:
    out.write("text")
repository.index.add(["file"])
author = git.Actor("a", "a@localhost")
repository.index.commit("first", author=author, committer=author)
assert repository.head.commit.message == "first"
blob = repository.head.commit.tree["file"].hexsha


def handler(body):
    _, _, size, stream = repository.git.stream_object_data(blob)
    assert (size, stream.read()) == (4, b"text")

"""What people have done on dashboards, and the jobs of this one."""

from __future__ import annotations

from bizzmq.control.acts import read_acts
from bizzmq.web.pages.numbered import page_of
from bizzmq.web.searches import MOST_FOUND, MOST_SEARCHED, Search
from bizzmq.web.site import Look, Site, View

_MOST = 400


async def log(site: Site, look: Look) -> View:
    """The page of the log of acts."""
    wanted = look.query.get("q", "").strip().casefold()
    found = await site.perform(read_acts, _MOST)
    acts = [act for act in found if not wanted or wanted in " ".join(map(str, act)).casefold()]
    return View("log.html", "Log", {"acts": acts, "q": wanted})


async def jobs(site: Site, _look: Look) -> View:
    """The page of all jobs."""
    return View("jobs.html", "Jobs", {"jobs": site.jobs.all()})


async def job(site: Site, look: Look) -> View:
    """The page of one job, with the messages that it has found if it is a search."""
    found = site.jobs.get(look.path["job"])
    is_search = isinstance(found, Search)
    messages, numbers = page_of(look, found.found if isinstance(found, Search) else ())
    values = {"job": found, "is_search": is_search, "messages": messages, "most_found": MOST_FOUND,
              "most_searched": MOST_SEARCHED, **numbers}  # fmt: skip
    return View("job.html", "Job", values, 200 if found else 404)

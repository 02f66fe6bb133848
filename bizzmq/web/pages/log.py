"""What people have done on dashboards, and the jobs of this one."""

from __future__ import annotations

from bizzmq.control.acts import read_acts
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
    """The page of one job."""
    found = site.jobs.get(look.path["job"])
    return View("job.html", "Job", {"job": found}, 200 if found else 404)

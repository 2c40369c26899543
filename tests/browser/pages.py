"""All pages, by a short name."""

from __future__ import annotations

from tests.browser.rig import Server


def all_pages(server: Server) -> dict[str, str]:
    """Return the path of every page; those of a run need one that has ended, and one that has not."""

    def run_of(job: str, state: str = "ended") -> int:
        number: int = server.get(f"/api/runs?state={state}&job={job}&limit=1")["runs"][0]["run"]
        return number

    revision = server.get("/api/jobs/extract/revisions")["revisions"][0]["revision"]
    return {
        "overview": "/",
        "jobs": "/ui/jobs",
        "jobs-none": "/ui/jobs?q=nothing-is-called-so",
        "job": "/ui/job?name=extract",
        "job-evil": "/ui/job?name=evil",
        "run": f"/ui/run/{run_of('broken')}",
        "run-evil": f"/ui/run/{run_of('evil')}",
        "run-active": f"/ui/run/{run_of('long', 'active')}",
        "run-immediate": f"/ui/run/{run_of('immediate:cut')}",
        "immediate": "/ui/immediate",
        "cluster": "/ui/cluster",
        "graph": "/ui/graph",
        "graph-alone": "/ui/graph?job=broken",
        "timeline": "/ui/timeline",
        "timeline-agents": "/ui/timeline?by=agent&span=24h",
        "timeline-none": "/ui/timeline?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z",
        "calendar": "/ui/calendar",
        "add": "/ui/add",
        "edit": "/ui/edit?name=extract",
        "edit-evil": "/ui/edit?name=evil",
        "revisions": "/ui/revisions?name=extract",
        "revision": f"/ui/revision?name=extract&number={revision}",
    }

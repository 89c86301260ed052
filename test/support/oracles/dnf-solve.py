"""What dnf would install into an empty root. Reads one JSON request a line, answers one JSON a line.

Request: {"repositories": [{"id", "path", "priority"?, "moduleHotfixes"?}], "install": [...], "recommends": bool,
          "arch": "x86_64", "installed": [names]?}
Answer:  {"packages": ["name-[epoch:]version-release.arch", ...]} or {"error": "..."}
"""

import json
import sys
import tempfile

import dnf
import libdnf


def solve(request):
    root = tempfile.mkdtemp(prefix="dnf-oracle-")
    base = dnf.Base()
    conf = base.conf
    conf.installroot = root
    conf.cachedir = root + "/cache"
    conf.logdir = root
    conf.persistdir = root + "/persist"
    conf.substitutions["releasever"] = "9"
    conf.substitutions["arch"] = request.get("arch", "x86_64")
    conf.substitutions["basearch"] = request.get("arch", "x86_64")
    conf.install_weak_deps = bool(request.get("recommends"))
    conf.best = bool(request.get("best"))
    conf.module_platform_id = "platform:el9"
    for wanted in request["repositories"]:
        repo = dnf.repo.Repo(wanted["id"], conf)
        repo.baseurl = ["file://" + wanted["path"]]
        repo.priority = wanted.get("priority", 99)
        repo.module_hotfixes = bool(wanted.get("moduleHotfixes"))
        repo.gpgcheck = False
        repo.load_metadata_other = False
        base.repos.add(repo)
        repo.enable()
    try:
        base.fill_sack(load_system_repo=False)
        base.install_specs(request["install"], strict=True)
        base.resolve()
        chosen = sorted(str(p) for p in base.transaction.install_set)
        return {"packages": chosen}
    except dnf.exceptions.Error as error:
        return {"error": str(error)}
    finally:
        base.close()
        __import__("shutil").rmtree(root, ignore_errors=True)


for line in sys.stdin:
    print(json.dumps(solve(json.loads(line))), flush=True)

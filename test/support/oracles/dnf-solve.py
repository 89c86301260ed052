"""What dnf would install into an empty root. Reads one JSON request a line, answers one JSON a line.

Request: {"repositories": [{"id", "path", "priority"?, "moduleHotfixes"?}], "install": [...], "recommends": bool,
          "arch": "x86_64", "platform": "platform:el9", "cache": kept between requests about the same repositories}
Answer:  {"packages": ["name-[epoch:]version-release.arch", ...]} or {"error": "..."}
"""

import json
import sys
import tempfile

import dnf
import dnf.module.module_base
import libdnf


def solve(request):
    root = tempfile.mkdtemp(prefix="dnf-oracle-")
    base = dnf.Base()
    conf = base.conf
    conf.installroot = root
    conf.cachedir = request.get("cache") or root + "/cache"
    conf.logdir = root
    conf.persistdir = root + "/persist"
    conf.substitutions["releasever"] = "9"
    conf.substitutions["arch"] = request.get("arch", "x86_64")
    conf.substitutions["basearch"] = request.get("arch", "x86_64")
    conf.install_weak_deps = bool(request.get("recommends"))
    conf.best = bool(request.get("best"))
    conf.module_platform_id = request.get("platform", "platform:el9")
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
        if any(word.startswith("@") for word in request["install"]):
            base.read_comps(arch_filter=True)
        # As on a host where `dnf module enable` went before: dnf itself looks names up too early.
        streams = [word[1:] for word in request["install"] if word.startswith("@")]
        modules = dnf.module.module_base.ModuleBase(base)
        known = [word for word in streams if modules._get_modules(word)[0]]
        if known:
            modules.enable(known)
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

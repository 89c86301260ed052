"""What dnf would install into a root, an empty one if none is given. Reads one JSON request a line, answers one JSON a line.

Request: {"repositories": [{"id", "path", "priority"?, "moduleHotfixes"?}], "install": [...], "recommends": bool,
          "arch": "x86_64", "platform": "platform:el9", "cache": kept between requests about the same repositories,
          "root": one whose rpm database says what hosts have}
Answer:  {"packages": ["name-[epoch:]version-release.arch", ...], "removes": [names]} or {"error": "..."}
"""

import json
import sys
import tempfile

import dnf
import dnf.module.module_base
import libdnf


def solve(request):
    made = tempfile.mkdtemp(prefix="dnf-oracle-")
    root = request.get("root") or made
    base = dnf.Base()
    conf = base.conf
    conf.installroot = root
    conf.cachedir = request.get("cache") or made + "/cache"
    conf.logdir = made
    conf.persistdir = made + "/persist"
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
        base.fill_sack(load_system_repo="root" in request)
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
        there = {p.name for p in base.transaction.install_set}
        gone = sorted({p.name for p in base.transaction.remove_set} - there)
        return {"packages": chosen, "removes": gone}
    except dnf.exceptions.Error as error:
        return {"error": str(error)}
    finally:
        base.close()
        __import__("shutil").rmtree(made, ignore_errors=True)


for line in sys.stdin:
    print(json.dumps(solve(json.loads(line))), flush=True)

# A host has a tree of cgroups of its own: pods of two hosts must not share one. Docker sees to it, and Podman does not
# where cgroups have version 1. $0: the script that goes on
if grep -q ':/.' /proc/self/cgroup; then exec unshare --cgroup /bin/sh -c "$0"; fi
exec /bin/sh -c "$0"

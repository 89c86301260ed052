#!/bin/sh
# The first thing that a host of the rig does when it boots: what a machine's firmware, kernel and DHCP would have done.
. /etc/rig/boot.env
mount --make-rshared /
ip link set host0 up
ip addr add "$ADDRESS/$PREFIX" dev host0
[ -z "$GATEWAY" ] || ip route add default via "$GATEWAY"
# Pods need cgroups that they may write to; this host has a tree of its own in each hierarchy.
for hierarchy in /sys/fs/cgroup/*/; do
  hierarchy=${hierarchy%/}
  [ -L "$hierarchy" ] || mount -o remount,bind,rw "$hierarchy" 2>/dev/null
done
# These settings belong to the machine's one kernel. A host gets files of its own in their place:
# it may set them as on a machine of its own, and the machine keeps its values.
mkdir -p /run/rig/sysctl
for key in vm/overcommit_memory vm/panic_on_oom vm/swappiness vm/max_map_count kernel/panic kernel/panic_on_oops \
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes fs/inotify/max_user_instances fs/inotify/max_user_watches fs/file-max; do
  [ -e "/proc/sys/$key" ] || continue
  own=/run/rig/sysctl/$(echo "$key" | tr / .)
  cat "/proc/sys/$key" >"$own"
  mount --bind "$own" "/proc/sys/$key"
done
# Machines have an id of their board; this one lends none to its guests.
exit 0

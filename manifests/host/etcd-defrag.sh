#!/bin/sh
# Gives space that etcd no longer uses back to the disk. The member does not answer meanwhile, so it is done only where all
# members are healthy, and only when it is worth it: a quarter of the file, and at least 100 MiB.
# https://etcd.io/docs/v3.6/op-guide/maintenance/#defragmentation
set -eu
ctl() {
	/usr/local/bin/etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/airgap/etcd/ca.crt --cert /etc/airgap/etcd/member.crt --key /etc/airgap/etcd/member.key "$@"
}
ctl endpoint health --cluster >/dev/null 2>&1 || {
	echo 'not every member is healthy: nothing is done'
	exit 0
}
status=$(ctl endpoint status --write-out=fields)
value() { printf '%s\n' "$status" | sed -n "s/^\"$1\" : //p"; }
size=$(value DBSize)
free=$((size - $(value DBSizeInUse)))
if [ "$free" -le 104857600 ] || [ "$free" -le $((size / 4)) ]; then
	echo "$free of $size bytes are unused: nothing is done"
	exit 0
fi
ctl --command-timeout=5m defrag

# containerd and its CRI plugin.

# ask_containerd ARGUMENTS...: ctr itself would wait ten seconds for one that does not run.
ask_containerd() {
	systemctl is-active --quiet containerd || fail "containerd does not run"
	ctr "$@"
}

# cri_loaded: containerd runs on where one of its plugins does not load, and kubelet finds nobody to talk to then.
cri_loaded() {
	ask_containerd plugins ls | awk '
		$2 == "cri" || $1 == "io.containerd.cri.v1" { found = 1; if ($NF != "ok") bad = bad " " $1 "." $2 }
		END {
			if (!found) bad = " io.containerd.grpc.v1.cri"
			if (bad != "") { print "not loaded:" bad; exit 1 }
		}'
}

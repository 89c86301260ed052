# containerd and its CRI plugin.

# ask_containerd ARGUMENTS...: ctr, but without its ten seconds of waiting for a containerd that does not run.
ask_containerd() {
	systemctl is-active --quiet containerd || fail "containerd does not run"
	ctr "$@"
}

# cri_loaded: containerd keeps running when one of its plugins does not load, but kubelet then cannot reach it.
cri_loaded() {
	ask_containerd plugins ls | awk '
		$2 == "cri" || $1 == "io.containerd.cri.v1" { found = 1; if ($NF != "ok") bad = bad " " $1 "." $2 }
		END {
			if (!found) bad = " io.containerd.grpc.v1.cri"
			if (bad != "") { print "not loaded:" bad; exit 1 }
		}'
}

# load_cri: restarts containerd and waits for its CRI plugin.
load_cri() {
	systemctl restart containerd
	wait_for 20 cri_loaded || {
		journalctl --no-pager -o cat -u containerd -n 300 2>/dev/null | grep 'failed to load plugin' | tail -n 3 || :
		fail "containerd runs without its CRI plugin"
	}
}

# containerd_has_images IMAGE...: under exactly these names.
containerd_has_images() {
	airgap_images=$(ask_containerd -n k8s.io images ls -q) || return 1
	for airgap_image in "$@"; do
		printf '%s\n' "$airgap_images" | grep -qxF -e "$airgap_image" || fail "$airgap_image is not on the host"
	done
}

# containerd_pull CERTS IMAGE...: pulls as kubelet does, with the hosts.toml files in CERTS.
containerd_pull() {
	airgap_certs=$1
	shift
	for airgap_image in "$@"; do
		echo "$airgap_image"
		if have crictl; then
			crictl pull "$airgap_image" >/dev/null || return 1
		else
			ctr -n k8s.io images pull --hosts-dir "$airgap_certs" "$airgap_image" >/dev/null || return 1
		fi
	done
}


# --- functions of the steps that talk to the cluster or to kubeadm ---

# in_namespace NAMESPACE COMMAND...: where objects go that name none; those that name another go there, which -n refuses.
in_namespace() {
	(
		airgap_config=$(mktemp)
		trap 'rm -f "$airgap_config"' EXIT
		cp "$KUBECONFIG" "$airgap_config"
		KUBECONFIG=$airgap_config
		kubectl config set-context --current --namespace="$1" >/dev/null
		shift
		"$@"
	)
}

# apply_manifest FILE [NAMESPACE]: tried for a while, since what defines a kind may stand in the same file. What is
# too large for kubectl to remember in an annotation is applied by the server.
apply_manifest() {
	if [ $# -eq 1 ]; then
		wait_for 60 airgap_apply "$1"
	else
		kubectl get namespace "$2" >/dev/null 2>&1 || wait_for 60 kubectl create namespace "$2"
		wait_for 60 in_namespace "$2" airgap_apply "$1"
	fi
}
airgap_apply() {
	airgap_said_apply=$(kubectl apply -f "$1" 2>&1) && return 0
	case $airgap_said_apply in
	*'must have at most 262144'*) kubectl apply --server-side --force-conflicts -f "$1" ;;
	*) fail "$airgap_said_apply" ;;
	esac
}

# manifest_is_applied FILE [NAMESPACE]
manifest_is_applied() { if [ $# -eq 1 ]; then airgap_applied "$1"; else in_namespace "$2" airgap_applied "$1"; fi; }
airgap_applied() {
	kubectl diff -f "$1" >/dev/null 2>&1 || kubectl diff --server-side --force-conflicts -f "$1" >/dev/null 2>&1 || fail "the cluster has not what $1 says"
}

# rolled_out NAMESPACE KIND/NAME: everything that it wants is there and up to date. Changes nothing and does not wait.
rolled_out() {
	airgap_status=$(kubectl -n "$1" get "$2" -o 'jsonpath={.metadata.generation} {.status.observedGeneration} {.status.desiredNumberScheduled}{.spec.replicas} {.status.updatedNumberScheduled}{.status.updatedReplicas} {.status.numberReady}{.status.readyReplicas}') || fail "$2 in $1 is not there"
	# shellcheck disable=SC2086
	set -- "$1" "$2" $airgap_status
	[ "${3-}" = "${4-}" ] || fail "$2 in $1 has not been looked at yet"
	[ "${5:-0}" -eq 0 ] || { [ "${6:-0}" -ge "$5" ] && [ "${7:-0}" -ge "$5" ]; } || fail "$2 in $1: ${7:-0} of $5 ready"
}

# roll_out NAMESPACE KIND/NAME SECONDS: waits, and shows the pods' own story when it takes too long.
roll_out() {
	kubectl -n "$1" rollout status "$2" --timeout="$3s" || {
		kubectl -n "$1" get pods -o wide || :
		kubectl -n "$1" get events --sort-by=.lastTimestamp 2>/dev/null | grep -v ' Normal ' | tail -n 15 || :
		fail "$2 in $1 is not ready"
	}
	wait_for 60 rolled_out "$1" "$2"
}

# nodes_are_ready NAME...
nodes_are_ready() {
	airgap_ready=$(kubectl get nodes -o 'jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
	for airgap_node in "$@"; do
		printf '%s\n' "$airgap_ready" | grep -qxF "$airgap_node True" || fail "$airgap_node is not ready"
	done
}

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

# What kubeadm has begun and not finished is taken back before it is begun again; what others have begun is not touched.
kubeadm_begins() {
	if [ -e "$airgap_home/kubeadm-began" ]; then
		echo "an earlier try did not come to its end: it is taken back first"
		kubeadm reset -f --cri-socket "$1"
		airgap_cni
	fi
	mkdir -p "$airgap_home" /etc/cni/net.d
	[ -e "$airgap_home/cni-before" ] || ls /etc/cni/net.d >"$airgap_home/cni-before"
	: >"$airgap_home/kubeadm-began"
}
# Network configurations that came with the cluster; those that were there before stay.
airgap_cni() {
	[ -e "$airgap_home/cni-before" ] || return 0
	for airgap_file in /etc/cni/net.d/*; do
		grep -qxF "${airgap_file##*/}" "$airgap_home/cni-before" || rm -rf "$airgap_file"
	done
}
# kubelet_stays: it runs, and still does a moment later: some versions begin anew with the certificate that they have got.
kubelet_stays() { systemctl is-active --quiet kubelet && sleep 2 && systemctl is-active --quiet kubelet; }
kubeadm_ended() { rm -f "$airgap_home/kubeadm-began"; }
kubeadm_failed() {
	# Before it has a configuration, kubelet has nothing to say but that.
	if [ -e /var/lib/kubelet/config.yaml ]; then
		echo '--- kubelet:'
		journalctl --no-pager -u kubelet -n 8 2>/dev/null | cut -c1-300 || :
	fi
	fail "$1 failed"
}

# Takes back what kubeadm and the network have left: kubeadm names them and leaves them to others.
kubeadm_undo() {
	if have kubeadm; then kubeadm reset -f --cri-socket "$1" || :; fi
	systemctl stop kubelet 2>/dev/null || :
	awk '$2 ~ "^/var/lib/kubelet/" { print $2 }' /proc/mounts | sort -r | while read -r airgap_mount; do
		umount "$airgap_mount" || umount -l "$airgap_mount" || :
	done
	for airgap_device in cni0 flannel.1 flannel-v6.1 kube-ipvs0 nodelocaldns vxlan.calico; do
		if ip link show "$airgap_device" >/dev/null 2>&1; then ip link delete "$airgap_device" || :; fi
	done
	for airgap_device in $(ip -o link show 2>/dev/null | sed -n 's/^[0-9]*: \(cali[0-9a-f]*\|tunl0\)@.*/\1/p'); do ip link delete "$airgap_device" 2>/dev/null || :; done
	for airgap_namespace in $(ip netns list 2>/dev/null | sed -n 's/^\(cni-[0-9a-f-]*\).*/\1/p'); do ip netns delete "$airgap_namespace" || :; done
	airgap_rules
	airgap_cni
	rm -rf /var/lib/cni /var/run/flannel /run/flannel /var/lib/calico /etc/kubernetes /var/lib/etcd /var/lib/kubelet
	rm -f "$airgap_home/kubeadm-began" "$airgap_home/cni-before" "$airgap_home/verified"
}

# remove_packages FILE: packages that came with the cluster, one a line; nothing that was there before is in it.
remove_packages() {
	# shellcheck disable=SC2046
	set -- $(sort -u "$1")
	if have apt-get; then
		apt-mark unhold "$@" >/dev/null || :
		apt-get -y purge "$@"
	elif have dnf; then
		dnf -y remove --noautoremove "$@"
	else
		yum -y remove "$@"
	fi
}

# Rules of kube-proxy, of the network and of the portmap plugin; everybody else's stay.
airgap_rules() {
	airgap_ours='KUBE-|FLANNEL|CNI-|cali-|cali:|flannel'
	for airgap_tables in iptables ip6tables; do
		have "$airgap_tables" || continue
		"$airgap_tables-save" 2>/dev/null | grep -qE "$airgap_ours" || continue
		"$airgap_tables-save" | grep -vE "$airgap_ours" | "$airgap_tables-restore" || :
	done
	if have ipvsadm; then ipvsadm --clear 2>/dev/null || :; fi
	if have nft; then
		for airgap_table in kube-proxy flannel-ipv4 flannel-ipv6; do
			for airgap_family in ip ip6; do nft delete table "$airgap_family" "$airgap_table" 2>/dev/null || :; done
		done
	fi
}

# kubeadm: init, join, and what both leave behind.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# before_init COMMAND...: runs it only on a host that kubeadm has not initialised yet.
before_init() { [ -s /etc/kubernetes/admin.conf ] || "$@"; }

# kubeadm_finished: no run of kubeadm that airgap started was interrupted or failed.
kubeadm_finished() { [ ! -e "$airgap_home/kubeadm-began" ] || fail "an earlier run of kubeadm did not finish"; }

# kubeadm_discard SOCKET: undoes a run of kubeadm that airgap started and that did not finish. What it wrote into an etcd on
# other hosts stays, so the host remembers whose that is until kubeadm has finished.
kubeadm_discard() {
	kubeadm reset -f --cri-socket "$1"
	airgap_cni
	: >"$airgap_home/kubeadm-discarded"
	rm -f "$airgap_home/kubeadm-began"
}

# airgap_kubeadm VERB VALIDATE OPTION...: runs kubeadm with the configuration in stdin. VALIDATE is yes if kubeadm
# can check that file.
airgap_kubeadm() {
	airgap_verb=$1
	airgap_validate=$2
	shift 2
	airgap_kubeadm_begins
	trap 'rm -f /run/airgap-kubeadm.yaml' EXIT
	(umask 077 && cat >/run/airgap-kubeadm.yaml)
	[ "$airgap_validate" = no ] || kubeadm config validate --config /run/airgap-kubeadm.yaml
	kubeadm "$airgap_verb" --config /run/airgap-kubeadm.yaml "$@" || airgap_kubeadm_failed "kubeadm $airgap_verb"
}
airgap_kubeadm_begins() {
	mkdir -p "$airgap_home" /etc/cni/net.d
	[ -e "$airgap_home/cni-before" ] || ls /etc/cni/net.d >"$airgap_home/cni-before"
	: >"$airgap_home/kubeadm-began"
}
airgap_kubeadm_ended() { rm -f "$airgap_home/kubeadm-began" "$airgap_home/kubeadm-discarded"; }
airgap_kubeadm_failed() {
	# Before it has a configuration, kubelet only reports that it is missing.
	if [ -e /var/lib/kubelet/config.yaml ]; then
		echo '--- kubelet:'
		journalctl --no-pager -u kubelet -n 8 2>/dev/null | cut -c1-300 || :
	fi
	fail "$1 failed"
}

# control_plane_is_initialised
control_plane_is_initialised() {
	kubeadm_finished
	[ -s /etc/kubernetes/admin.conf ] || fail "kubeadm has not initialised this host"
	kubectl get --raw=/healthz >/dev/null || fail "the API server does not answer"
	kubectl -n kube-system get configmap kubeadm-config >/dev/null
}

# no_cluster_at SERVER: no API server with a certificate of this cluster's authority answers there. One that refuses whoever
# asks has answered.
no_cluster_at() {
	[ -s /etc/kubernetes/pki/ca.crt ] || return 0
	airgap_answer=$(kubectl --kubeconfig /dev/null --server "https://$1" --certificate-authority /etc/kubernetes/pki/ca.crt --request-timeout 10s get --raw /version 2>&1 </dev/null) || case $airgap_answer in
	*[Ff]orbidden* | *[Uu]nauthorized*) ;;
	*) return 0 ;;
	esac
	fail "a cluster of this authority answers at $1: this host would become a second one beside it"
}

# init_control_plane VALIDATE SERVER: stdin is kubeadm's configuration, SERVER where the API will be asked. A host that
# was initialised and is perhaps just starting is only waited for.
init_control_plane() {
	if [ -s /etc/kubernetes/admin.conf ]; then
		wait_for 180 kubectl get --raw=/healthz
		return 0
	fi
	no_cluster_at "$2"
	airgap_kubeadm init "$1" --skip-token-print
	wait_for 60 kubectl get --raw=/healthz
	airgap_kubeadm_ended
}

# node_has_joined
node_has_joined() {
	kubeadm_finished
	[ -s /etc/kubernetes/kubelet.conf ] || fail "this host has not joined the cluster"
	systemctl is-active --quiet kubelet || fail "kubelet does not run"
}

# join_node VALIDATE: stdin is kubeadm's configuration. On a host that has joined, it only starts kubelet.
join_node() {
	if [ -s /etc/kubernetes/kubelet.conf ]; then
		systemctl start kubelet
		wait_for 60 kubelet_stays
		return 0
	fi
	airgap_kubeadm join "$1"
	wait_for 60 kubelet_stays
	airgap_kubeadm_ended
}

# kubelet_stays: kubelet runs, and still runs a moment later; some versions restart after they get their certificate.
kubelet_stays() { systemctl is-active --quiet kubelet && sleep 2 && systemctl is-active --quiet kubelet; }

# token_exists ID SECRET: a bootstrap token with this secret, in base64.
token_exists() {
	airgap_found=$(kubectl -n kube-system get secret "bootstrap-token-$1" -o 'jsonpath={.data.token-secret}' 2>/dev/null) || fail "the cluster has no token for hosts that join"
	[ "$airgap_found" = "$2" ] || fail "the cluster has another token"
}

# make_token: stdin is a Secret that ends with its stringData; it expires in two hours. It is passed through a file, since
# others can read a list of arguments.
make_token() {
	airgap_until=$(date -u -d '+2 hours' +%Y-%m-%dT%H:%M:%SZ)
	trap 'rm -f /run/airgap-token.yaml' EXIT
	(umask 077 && cat >/run/airgap-token.yaml)
	printf '  expiration: "%s"\n' "$airgap_until" >>/run/airgap-token.yaml
	wait_for 60 kubectl apply -f /run/airgap-token.yaml
}

# Removes the network configurations of the cluster; those that were there before stay.
airgap_cni() {
	[ -e "$airgap_home/cni-before" ] || return 0
	for airgap_file in /etc/cni/net.d/*; do
		grep -qxF "${airgap_file##*/}" "$airgap_home/cni-before" || rm -rf "$airgap_file"
	done
}

# kubeadm_undo SOCKET: undoes what kubeadm and the pod network did on this host, including what kubeadm reset leaves behind.
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
	rm -f "$airgap_home/kubeadm-began" "$airgap_home/kubeadm-discarded" "$airgap_home/cni-before" "$airgap_home/verified"
}

# Removes the rules of kube-proxy, of the pod network and of the portmap plugin; all others stay.
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

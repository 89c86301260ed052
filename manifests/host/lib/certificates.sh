# Renewing certificates of a control plane and of kubelets. What was there before stays in airgap's own folder.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# keep_certificates: all that can be renewed on this host, as it is now, for who has to go back.
keep_certificates() {
	airgap_kept=$airgap_home/certificates-before/$(date -u +%Y%m%dT%H%M%SZ)
	close "$airgap_home/certificates-before"
	mkdir -p "$airgap_kept"
	for airgap_file in /etc/kubernetes/pki /etc/kubernetes/*.conf /var/lib/kubelet/pki /etc/airgap/etcd /etc/airgap/serve; do
		[ ! -e "$airgap_file" ] || {
			mkdir -p "$airgap_kept${airgap_file%/*}"
			cp -a "$airgap_file" "$airgap_kept$airgap_file"
		}
	done
}

# airgap_with_kubeadm COMMAND...: runs it with --config, which it reads from stdin. It needs no API server.
airgap_with_kubeadm() {
	trap 'rm -f /run/airgap-kubeadm.yaml' EXIT
	(umask 077 && cat >/run/airgap-kubeadm.yaml)
	"$@" --config /run/airgap-kubeadm.yaml
}

# renew_control_plane VERB: VERB is kubeadm's: certs, or `alpha certs` in old versions. stdin is kubeadm's configuration.
renew_control_plane() {
	# shellcheck disable=SC2086  # two words
	airgap_with_kubeadm kubeadm $1 renew all
}

# make_kubelet_kubeconfig VERB NODE: prints a kubeconfig with a new client certificate for the kubelet of any node. stdin is
# kubeadm's configuration.
make_kubelet_kubeconfig() {
	# shellcheck disable=SC2086
	airgap_with_kubeadm kubeadm $1 user --org system:nodes --client-name "system:node:$2"
}

# give_kubelet_kubeconfig: stdin is one; kubelet takes its certificate from it, and the next ones from the cluster.
give_kubelet_kubeconfig() {
	(umask 077 && cat >/etc/kubernetes/kubelet.conf.airgap)
	mv -f /etc/kubernetes/kubelet.conf.airgap /etc/kubernetes/kubelet.conf
	# Otherwise it would go on with the one that has expired.
	rm -f /var/lib/kubelet/pki/kubelet-client-*.pem
	systemctl reset-failed kubelet 2>/dev/null || :
	systemctl restart kubelet
}

# renew_kubelet_server: kubelet signs the certificate with which it serves itself, when it has none.
renew_kubelet_server() {
	rm -f /var/lib/kubelet/pki/kubelet.crt /var/lib/kubelet/pki/kubelet.key
	systemctl restart kubelet
}

# put_for GROUP PATH: a file that only root and this group can read, from stdin.
put_for() {
	(umask 077 && cat >"$2.airgap")
	chgrp "$1" "$2.airgap"
	chmod 640 "$2.airgap"
	mv -f "$2.airgap" "$2"
	relabel "$2"
}

# put_key PATH: a file that only root can read, from stdin.
put_key() {
	(umask 077 && cat >"$1.airgap")
	mv -f "$1.airgap" "$1"
	relabel "$1"
}

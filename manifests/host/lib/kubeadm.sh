# What kubeadm begins, finishes and leaves behind.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

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

# What `airgap status` asks of hosts. Changes nothing.

# show_certificates: certificates of a host, of its kubeconfigs, of its kubelet and of airgap's own services, each below a
# line `=== NAME`. Keys are not shown, also where a file has both.
show_certificates() {
	for airgap_file in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt; do airgap_certificate "${airgap_file#*/kubernetes/pki/}" "$airgap_file"; done
	for airgap_name in admin super-admin controller-manager scheduler kubelet; do
		[ -f /etc/kubernetes/"$airgap_name".conf ] || continue
		# kubelet takes its first certificate from there, and the next ones from a file of its own.
		[ "$airgap_name" != kubelet ] || [ ! -f /var/lib/kubelet/pki/kubelet-client-current.pem ] || continue
		echo "=== $airgap_name.conf"
		sed -n 's/^ *client-certificate-data: *//p' /etc/kubernetes/"$airgap_name".conf | base64 -d || :
	done
	for airgap_file in /var/lib/kubelet/pki/kubelet-client-current.pem /var/lib/kubelet/pki/kubelet.crt; do
		airgap_certificate "${airgap_file##*/}" "$airgap_file"
	done
	for airgap_file in /etc/airgap/*.crt /etc/airgap/*/*.crt; do airgap_certificate "${airgap_file#*/etc/}" "$airgap_file"; done
}
airgap_certificate() {
	[ -f "$2" ] || return 0
	echo "=== $1"
	sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/p' "$2"
}

# show_harbor_health TARGET FLAG...: with the airgap that serves the bundle on this host.
show_harbor_health() {
	airgap_tool=$(sed -n 's#^ExecStart=\(/opt/airgap/[^/]*\)/bin/airgap .*#\1#p' /etc/systemd/system/airgap-serve.service)
	"$airgap_tool/bin/airgap" harbor health --json "$@"
}

# show_ill_containers: of Harbor, on its own host.
show_ill_containers() { airgap_harbor ill /opt/harbor; }

# airgap_etcdctl NODE ARGUMENT...: etcdctl in the member of a control plane.
airgap_etcdctl() {
	airgap_member=etcd-$1
	airgap_certificates=/etc/kubernetes/pki/etcd
	shift
	kubectl -n kube-system exec "$airgap_member" -- etcdctl --endpoints https://127.0.0.1:2379 --cacert "$airgap_certificates/ca.crt" \
		--cert "$airgap_certificates/healthcheck-client.crt" --key "$airgap_certificates/healthcheck-client.key" "$@"
}

# show_members [NODE]: what the cluster knows, asked on this control plane: its nodes as `node NAME`, the members of its etcd
# as `etcd PEER-URLS NAME`; not asked without NODE, where etcd is elsewhere. A member that never started has no name.
show_members() {
	kubectl get nodes -o 'jsonpath={range .items[*]}node {.metadata.name}{"\n"}{end}' || return 1
	[ $# -gt 0 ] || return 0
	airgap_found=$(airgap_etcdctl "$1" member list) || return 1
	printf '%s\n' "$airgap_found" | awk -F', *' '{ print "etcd", $4 ($3 == "" ? "" : " " $3) }'
}

# show_image_origins: every registry that a runtime would ask, one a line: `server` and `[host."..."]` of hosts.toml, and
# Docker's mirrors.
show_image_origins() {
	if [ -d /etc/containerd/certs.d ]; then
		sed -n -e 's/^server *= *"\(.*\)"/\1/p' -e 's/^ *\[host\."\(.*\)"\]/\1/p' /etc/containerd/certs.d/*/hosts.toml 2>/dev/null || :
		[ -f /etc/containerd/certs.d/_default/hosts.toml ] || echo upstream registries
	fi
	# shellcheck disable=SC2020  # three characters, each becomes a line feed
	[ ! -f /etc/docker/daemon.json ] || tr ',[]' '\n\n\n' </etc/docker/daemon.json | sed -n 's/^ *"\(https\{0,1\}:[^"]*\)".*/\1/p'
}

# show_disks: where Kubernetes writes: mount point, size and free space in KiB, each once.
show_disks() {
	for airgap_folder in / /var/lib/kubelet /var/lib/containerd /var/lib/docker /var/lib/etcd /var/lib/airgap; do
		[ ! -d "$airgap_folder" ] || df -Pk "$airgap_folder" 2>/dev/null | awk 'NR == 2 { print $6, $2, $4 }'
	done | sort -u
}

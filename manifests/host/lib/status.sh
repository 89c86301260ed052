# What `airgap status` asks of hosts. Changes nothing.

# show_certificates: certificates of a control plane, of its kubeconfigs and of the server, each below a line `=== NAME`. Keys
# are not shown.
show_certificates() {
	for airgap_file in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt; do
		[ -f "$airgap_file" ] || continue
		echo "=== ${airgap_file#*/kubernetes/pki/}"
		cat "$airgap_file"
	done
	for airgap_name in admin controller-manager scheduler; do
		[ -f /etc/kubernetes/"$airgap_name".conf ] || continue
		echo "=== $airgap_name.conf"
		sed -n 's/^ *client-certificate-data: *//p' /etc/kubernetes/"$airgap_name".conf | base64 -d || :
	done
	[ ! -f /etc/airgap/serve/tls.crt ] || {
		echo '=== airgap-serve.crt'
		cat /etc/airgap/serve/tls.crt
	}
}

# airgap_etcdctl NODE ARGUMENT...: etcdctl in the member of a control plane.
airgap_etcdctl() {
	airgap_member=etcd-$1
	airgap_certificates=/etc/kubernetes/pki/etcd
	shift
	kubectl -n kube-system exec "$airgap_member" -- etcdctl --endpoints https://127.0.0.1:2379 --cacert "$airgap_certificates/ca.crt" \
		--cert "$airgap_certificates/healthcheck-client.crt" --key "$airgap_certificates/healthcheck-client.key" "$@"
}

# show_members NODE: what the cluster knows, asked on this control plane: its nodes as `node NAME`, the members of its etcd
# as `etcd PEER-URLS`. A member that never started has no name.
show_members() {
	kubectl get nodes -o 'jsonpath={range .items[*]}node {.metadata.name}{"\n"}{end}' || return 1
	airgap_found=$(airgap_etcdctl "$1" member list) || return 1
	printf '%s\n' "$airgap_found" | awk -F', *' '{ print "etcd", $4 }'
}

# show_image_origins: every registry that a runtime would ask, one a line: `server` and `[host."…"]` of hosts.toml, and
# Docker's mirrors.
show_image_origins() {
	if [ -d /etc/containerd/certs.d ]; then
		sed -n -e 's/^server *= *"\(.*\)"/\1/p' -e 's/^ *\[host\."\(.*\)"\]/\1/p' /etc/containerd/certs.d/*/hosts.toml 2>/dev/null || :
		[ -f /etc/containerd/certs.d/_default/hosts.toml ] || echo upstream registries
	fi
	# shellcheck disable=SC2020  # three characters, each becomes a line feed
	[ ! -f /etc/docker/daemon.json ] || tr ',[]' '\n\n\n' </etc/docker/daemon.json | sed -n 's/^ *"\(https\{0,1\}:[^"]*\)".*/\1/p'
}

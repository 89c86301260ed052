# Upgrades of a node to the next version of Kubernetes. Versions are v1.28.2.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

airgap_manifests=/etc/kubernetes/manifests
airgap_flags=/var/lib/kubelet/kubeadm-flags.env

# airgap_api_version: the version of the API server that this control plane is to run.
airgap_api_version() { sed -n 's/^ *image: .*:\(v[0-9][^ @]*\).*/\1/p' "$airgap_manifests/kube-apiserver.yaml" 2>/dev/null | head -n 1 | tr _ +; }

# airgap_node_version NODE
airgap_node_version() { kubectl get node "$1" -o 'jsonpath={.status.nodeInfo.kubeletVersion}'; }

# show_etcd_health NODE: what etcd says of its members, asked on this control plane; those that do not answer are named too.
show_etcd_health() { airgap_etcdctl "$1" endpoint health --cluster --command-timeout=5s 2>&1 || :; }

# api_is_ready: of this control plane.
api_is_ready() { kubectl get --raw=/readyz >/dev/null 2>&1 || fail "the API server does not answer"; }

# before_plane VERSION COMMAND...: runs it only on a control plane that is not at VERSION yet.
before_plane() {
	airgap_target=$1
	shift
	at_least "$(airgap_api_version)" "$airgap_target" || "$@"
}

# kept_before VERSION FILE...: this host's part of the cluster was kept before it went to VERSION.
kept_before() {
	airgap_keep=$airgap_home/upgrade/$1
	shift
	for airgap_file in "$@"; do [ -s "$airgap_keep/$airgap_file" ] || fail "$airgap_keep has no $airgap_file"; done
}

# keep_before VERSION NODE FILE...: etcd.db keeps what etcd holds, kubernetes.tar.gz keeps /etc/kubernetes. A host that is at
# VERSION already keeps nothing: it would be of after.
keep_before() {
	airgap_keep=$airgap_home/upgrade/$1
	airgap_node=$2
	shift 2
	close "$airgap_home/upgrade"
	close "$airgap_keep"
	for airgap_file in "$@"; do
		airgap_new=$airgap_keep/$airgap_file.new
		case $airgap_file in
		etcd.db) wait_for 120 take_snapshot "$airgap_node" "$airgap_new" ;;
		*) tar -czf "$airgap_new" --exclude=./tmp -C /etc/kubernetes . ;;
		esac
		mv -f "$airgap_new" "$airgap_keep/$airgap_file"
	done
}

# show_kept VERSION: what is kept, one a line: name, bytes, sha256.
show_kept() {
	for airgap_file in "$airgap_home/upgrade/$1"/etcd.db "$airgap_home/upgrade/$1"/kubernetes.tar.gz; do
		[ ! -s "$airgap_file" ] || printf '%s %s %s\n' "${airgap_file##*/}" "$(stat -c %s "$airgap_file")" "$(sha256sum <"$airgap_file" | cut -c1-64)"
	done
}

# airgap_cluster_configuration: kubeadm's ConfigMap as YAML. Its keys are indented by four blanks.
airgap_cluster_configuration() { kubectl -n kube-system get configmap kubeadm-config -o yaml; }

# airgap_with_repositories IMAGES DNS ETCD: stdin with these image repositories; a - takes one away.
airgap_with_repositories() {
	awk -v images="$1" -v dns="$2" -v etcd="$3" '
		/^[a-z]/ { inside = /^data:/ }
		!inside { print; next }
		/^    imageRepository:/ { print "    imageRepository: " images; next }
		/^    [a-zA-Z]/ { part = $1 }
		/^    dns:/ && dns != "-" { print "    dns:\n      imageRepository: " dns; next }
		part == "dns:" && /^      imageRepository:/ { next }
		part == "etcd:" && /^        imageRepository:/ { next }
		part == "etcd:" && /^      local:/ && etcd != "-" { print "      local:\n        imageRepository: " etcd; next }
		{ print }'
}

# images_come_from IMAGES DNS ETCD: kubeadm is configured with these repositories.
images_come_from() {
	airgap_found=$(airgap_cluster_configuration) || return 1
	[ "$(printf '%s\n' "$airgap_found" | airgap_with_repositories "$@" | sort)" = "$(printf '%s\n' "$airgap_found" | sort)" ] || fail "kubeadm would take images from $(printf '%s\n' "$airgap_found" | sed -n 's/^ *imageRepository: *//p' | tr '\n' ' ')"
}

# take_images_from IMAGES DNS ETCD
take_images_from() {
	trap 'rm -f /run/airgap-kubeadm-config.yaml' EXIT
	airgap_cluster_configuration | airgap_with_repositories "$@" >/run/airgap-kubeadm-config.yaml
	kubectl replace -f /run/airgap-kubeadm-config.yaml
}

# airgap_kubelet_maps: names of the ConfigMaps with kubelet's configuration; before 1.24 each minor has its own.
airgap_kubelet_maps() { kubectl -n kube-system get configmaps -o name | grep -E '^configmap/kubelet-config(-1\.[0-9]+)?$'; }

# cgroup_driver_is_written: kubeadm writes systemd where nothing is said; a node that uses cgroupfs would not start.
cgroup_driver_is_written() {
	for airgap_map in $(airgap_kubelet_maps); do
		kubectl -n kube-system get "$airgap_map" -o yaml | grep -q '^    cgroupDriver:' || fail "$airgap_map does not name a cgroup driver"
	done
}

# write_cgroup_driver DRIVER
write_cgroup_driver() {
	trap 'rm -f /run/airgap-kubelet-config.yaml' EXIT
	for airgap_map in $(airgap_kubelet_maps); do
		kubectl -n kube-system get "$airgap_map" -o yaml >/run/airgap-kubelet-config.yaml
		! grep -q '^    cgroupDriver:' /run/airgap-kubelet-config.yaml || continue
		sed -i "0,/^    kind: KubeletConfiguration\$/s//    cgroupDriver: $1\\n    kind: KubeletConfiguration/" /run/airgap-kubelet-config.yaml
		kubectl replace -f /run/airgap-kubelet-config.yaml
	done
}

# plane_is_at VERSION: this control plane runs it, and no run of kubeadm that was to bring it there is unfinished.
plane_is_at() {
	[ ! -e "$airgap_home/upgrade-began" ] || fail "kubeadm upgrade to $(cat "$airgap_home/upgrade-began") did not finish"
	airgap_found=$(airgap_api_version)
	at_least "$airgap_found" "$1" || fail "the API server is at $airgap_found"
	kubectl get --raw=/readyz >/dev/null || fail "the API server does not answer"
}

# cluster_is_at VERSION: kubeadm has written it down for the whole cluster, and this control plane runs it.
cluster_is_at() {
	plane_is_at "$1"
	airgap_found=$(airgap_cluster_configuration | sed -n 's/^    kubernetesVersion: *//p')
	at_least "$airgap_found" "$1" || fail "the cluster is at $airgap_found"
}

# apply_upgrade VERSION IGNORED: by the first control plane of the cluster. An interrupted run is run again; kubeadm
# must be told when the API server is at VERSION already.
apply_upgrade() {
	wait_for 180 kubectl get --raw=/readyz
	airgap_ignored=${2:+--ignore-preflight-errors=$2}
	airgap_force=
	if [ -e "$airgap_home/upgrade-began" ] && at_least "$(airgap_api_version)" "$1"; then airgap_force=--force; fi
	printf '%s\n' "$1" >"$airgap_home/upgrade-began"
	# shellcheck disable=SC2086  # a flag, or nothing
	kubeadm upgrade plan "$1" $airgap_ignored || airgap_upgrade_failed "kubeadm upgrade plan"
	# shellcheck disable=SC2086
	kubeadm upgrade apply "$1" --yes $airgap_force $airgap_ignored || airgap_upgrade_failed "kubeadm upgrade apply"
	airgap_upgraded
}

# upgrade_plane VERSION IGNORED: every other control plane.
upgrade_plane() {
	wait_for 180 kubectl get --raw=/readyz
	printf '%s\n' "$1" >"$airgap_home/upgrade-began"
	# shellcheck disable=SC2086
	kubeadm upgrade node ${2:+--ignore-preflight-errors=$2} || airgap_upgrade_failed "kubeadm upgrade node"
	airgap_upgraded
}

airgap_upgrade_failed() {
	kubectl -n kube-system get pods -o wide 2>/dev/null | grep -E 'upgrade-health-check|etcd-|kube-apiserver-' || :
	airgap_show_events kube-system
	fail "$1 failed"
}

# kubeadm's copies of etcd's data are as large as etcd, and nobody else removes them.
airgap_upgraded() {
	wait_for 180 kubectl get --raw=/readyz
	rm -rf /etc/kubernetes/tmp/kubeadm-backup-etcd-* /etc/kubernetes/tmp/kubeadm-upgraded-manifests*
	rm -f "$airgap_home/upgrade-began"
}

# worker_is_configured VERSION: kubeadm has written kubelet's configuration of this version.
worker_is_configured() { at_least "$(cat "$airgap_home/stamps/upgrade-node" 2>/dev/null)" "$1" || fail "kubeadm upgrade node has not run for $1"; }

# configure_worker VERSION IGNORED
configure_worker() {
	# shellcheck disable=SC2086
	kubeadm upgrade node ${2:+--ignore-preflight-errors=$2}
	note stamps/upgrade-node "$1"
}

# is_drained NODE VERSION: or it has this version already, and there is nothing to drain it for.
is_drained() {
	airgap_found=$(kubectl get node "$1" -o 'jsonpath={.status.nodeInfo.kubeletVersion} {.spec.unschedulable} {.metadata.annotations.airgap/drained}') || fail "$1 is not in the cluster"
	# shellcheck disable=SC2086
	set -- "$1" "$2" $airgap_found
	at_least "$3" "$2" || [ "${4-} ${5-}" = "true $2" ] || fail "$1 takes pods"
}

# drain_node NODE VERSION SECONDS FLAG...: a node that somebody else has cordoned stays so afterwards. When the drain fails,
# the node takes pods again.
drain_node() {
	airgap_node=$1
	airgap_target=$2
	airgap_seconds=$3
	shift 3
	wait_for 120 kubectl get node "$airgap_node" -o name
	if [ "$(kubectl get node "$airgap_node" -o 'jsonpath={.spec.unschedulable}')" != true ]; then
		kubectl annotate --overwrite node "$airgap_node" airgap/cordoned=true
		kubectl cordon "$airgap_node"
	fi
	kubectl drain "$airgap_node" --timeout="${airgap_seconds}s" "$@" || {
		airgap_show_budgets
		take_pods "$airgap_node"
		fail "$airgap_node cannot be drained; it takes pods again"
	}
	kubectl annotate --overwrite node "$airgap_node" "airgap/drained=$airgap_target"
}
airgap_show_budgets() {
	kubectl get poddisruptionbudgets --all-namespaces -o 'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.expectedPods} {.status.disruptionsAllowed}{"\n"}{end}' |
		awk '$2 > 0 && $3 == 0 { print "disruption budget " $1 " allows no eviction: " $2 " pods" }' || :
}

# takes_pods NODE: as before it was drained.
takes_pods() { [ -z "$(kubectl get node "$1" -o 'jsonpath={.metadata.annotations.airgap/cordoned}{.metadata.annotations.airgap/drained}')" ] || fail "$1 is still cordoned"; }

# take_pods NODE
take_pods() {
	[ -z "$(kubectl get node "$1" -o 'jsonpath={.metadata.annotations.airgap/cordoned}')" ] || wait_for 60 kubectl uncordon "$1"
	wait_for 60 kubectl annotate node "$1" airgap/cordoned- airgap/drained-
}

# node_is_at NODE VERSION: and ready.
node_is_at() {
	airgap_found=$(kubectl get node "$1" -o 'jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status}') || fail "the API server does not answer"
	at_least "${airgap_found% *}" "$2" || fail "$1 is at ${airgap_found% *}"
	[ "${airgap_found#* }" = True ] || fail "$1 is not ready"
}

# airgap_flag_files: files that give kubelet its flags and that may be changed.
airgap_flag_files() { ls "$airgap_flags" /etc/default/kubelet /etc/sysconfig/kubelet 2>/dev/null || :; }

# flags_fit FLAG...: kubelet is not started with any of these, which its next version does not know.
flags_fit() {
	for airgap_flag in "$@"; do
		for airgap_file in $(airgap_flag_files); do
			! grep -qE -e "(^|[[:space:]\"'=])--$airgap_flag([[:space:]\"'=]|\$)" "$airgap_file" || fail "$airgap_file has --$airgap_flag"
		done
	done
}

# drop_flags FLAG...: from all files. With the files of before the first change kept.
drop_flags() {
	for airgap_file in $(airgap_flag_files); do
		keep "$airgap_file"
		for airgap_flag in "$@"; do airgap_drop_flag "$airgap_flag" "$airgap_file"; done
	done
}
# A value may stand behind a = or a blank.
airgap_drop_flag() { sed -i -E "s/(^|[[:space:]\"'=])--$1(=[^[:space:]\"']*|[[:space:]]+[^-[:space:]\"'][^[:space:]\"']*)?([[:space:]\"']|\$)/\\1\\3/g" "$2"; }

# kubelet_was_restarted VERSION: it runs, and was started after its program, configuration and flags were written.
kubelet_was_restarted() {
	is_noted stamps/upgrade-kubelet "$1" || fail "kubelet was not restarted at $1"
	systemctl is-active --quiet kubelet || fail "kubelet does not run"
}

# restart_kubelet VERSION
restart_kubelet() {
	airgap_found=$(kubelet --version)
	at_least "${airgap_found#Kubernetes }" "$1" || fail "the kubelet on this host is $airgap_found, not $1"
	systemctl daemon-reload
	systemctl restart kubelet || airgap_explain kubelet
	wait_for 60 kubelet_stays || airgap_explain kubelet
	note stamps/upgrade-kubelet "$1"
}

# uses_socket NODE SOCKET: the cluster has this runtime written down for the node.
uses_socket() { [ "$(kubectl get node "$1" -o 'jsonpath={.metadata.annotations.kubeadm\.alpha\.kubernetes\.io/cri-socket}')" = "$2" ] || fail "the cluster has another socket for $1"; }

# use_socket NODE SOCKET
use_socket() { kubectl annotate --overwrite node "$1" "kubeadm.alpha.kubernetes.io/cri-socket=$2"; }

# runtime_is SOCKET: kubelet is told to use it.
runtime_is() {
	grep -qF -e "--container-runtime-endpoint=$1" "$airgap_flags" || fail "kubelet is told of another runtime"
	! grep -q -e --network-plugin "$airgap_flags" || fail "kubelet is still told of Docker's network plugin"
}

# switch_runtime SOCKET: from Docker's built-in shim. The containers of pods that Docker has go; others of Docker's stay.
switch_runtime() {
	systemctl stop kubelet
	keep "$airgap_flags"
	for airgap_flag in network-plugin container-runtime container-runtime-endpoint; do airgap_drop_flag "$airgap_flag" "$airgap_flags"; done
	sed -i "s|^KUBELET_KUBEADM_ARGS=\"|&--container-runtime=remote --container-runtime-endpoint=$1 |" "$airgap_flags"
	runtime_is "$1"
	if have docker; then
		airgap_old=$(docker ps -aq --filter label=io.kubernetes.pod.name) || airgap_old=
		# shellcheck disable=SC2086  # a list
		[ -z "$airgap_old" ] || docker rm -f $airgap_old >/dev/null
	fi
	systemctl restart kubelet || airgap_explain kubelet
	wait_for 60 kubelet_stays || airgap_explain kubelet
}

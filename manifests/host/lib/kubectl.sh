# Checks and changes of the cluster, through kubectl.

# in_namespace NAMESPACE COMMAND...: NAMESPACE is for objects that do not name one; -n would refuse objects that name another.
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

# apply_manifest FILE [NAMESPACE]: tries for a while, since the file may also define the kinds of its objects. An object
# that is too large for kubectl's annotation is applied by the server.
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

# manifest_is_applied FILE [NAMESPACE]: the cluster has every object as FILE says.
manifest_is_applied() { if [ $# -eq 1 ]; then airgap_applied "$1"; else in_namespace "$2" airgap_applied "$1"; fi; }
airgap_applied() {
	kubectl diff -f "$1" >/dev/null 2>&1 || kubectl diff --server-side --force-conflicts -f "$1" >/dev/null 2>&1 || fail "the cluster differs from $1"
}

# rolled_out NAMESPACE KIND/NAME: all of its pods are up to date and ready. Does not wait.
rolled_out() {
	airgap_status=$(kubectl -n "$1" get "$2" -o 'jsonpath={.metadata.generation} {.status.observedGeneration} {.status.desiredNumberScheduled}{.spec.replicas} {.status.updatedNumberScheduled}{.status.updatedReplicas} {.status.numberReady}{.status.readyReplicas}') || fail "$2 in $1 is not there"
	# shellcheck disable=SC2086
	set -- "$1" "$2" $airgap_status
	[ "${3-}" = "${4-}" ] || fail "$2 in $1 is not up to date: its controller has not seen the change yet"
	[ "${5:-0}" -eq 0 ] || { [ "${6:-0}" -ge "$5" ] && [ "${7:-0}" -ge "$5" ]; } || fail "$2 in $1: ${7:-0} of $5 ready"
}

# roll_out NAMESPACE KIND/NAME SECONDS: waits until all of its pods are ready; shows pods and events when they are not.
roll_out() {
	kubectl -n "$1" rollout status "$2" --timeout="$3s" || {
		kubectl -n "$1" get pods -o wide || :
		airgap_show_events "$1"
		airgap_fail_for_nodes "$1" "$2"
		fail "$2 in $1 is not ready"
	}
	wait_for 60 rolled_out "$1" "$2"
}
# Names the nodes that are not ready and have an unready pod of a DaemonSet. For the controller, a
# node is not ready as long as its kubelet does not report.
airgap_fail_for_nodes() {
	case $2 in daemonset/*) ;; *) return 0 ;; esac
	airgap_ready='{.status.conditions[?(@.type=="Ready")].status}'
	airgap_down=$({
		kubectl get nodes -o "jsonpath={range .items[*]}node {.metadata.name} $airgap_ready{\"\\n\"}{end}"
		kubectl -n "$1" get pods -o "jsonpath={range .items[*]}pod {.spec.nodeName} $airgap_ready {.metadata.ownerReferences[0].name}{\"\\n\"}{end}"
	} 2>/dev/null | awk -v set="${2#*/}" '
		$1 == "node" && $3 != "True" { down[$2] = 1 }
		$1 == "pod" && $3 != "True" && $NF == set && down[$2] { names = names sep $2; sep = ", "; count++ }
		END { if (count) print names ", which " (count > 1 ? "are" : "is") " not ready" }') || :
	[ -z "$airgap_down" ] || fail "$2 in $1 waits for pods on $airgap_down"
}
airgap_show_events() { kubectl -n "$1" get events --sort-by=.lastTimestamp 2>/dev/null | grep -v ' Normal ' | tail -n 15 || :; }

# nodes_are_ready NODE...
nodes_are_ready() {
	airgap_ready=$(kubectl get nodes -o 'jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
	for airgap_node in "$@"; do
		printf '%s\n' "$airgap_ready" | grep -qxF "$airgap_node True" || fail "$airgap_node is not ready"
	done
}

# let_nodes_settle NODE...: waits for nodes that have just joined. If one does not become ready, that is not an error.
let_nodes_settle() { wait_for 120 nodes_are_ready "$@" || :; }

# nodes_are_at VERSION READY NODE...: the nodes have this version of Kubernetes. With READY yes they must also be ready; without a pod
# network, no node is ready.
nodes_are_at() {
	airgap_wanted=$1
	airgap_format='{.metadata.name} {.status.nodeInfo.kubeletVersion}'
	if [ "$2" = yes ]; then
		airgap_wanted="$airgap_wanted True"
		airgap_format="$airgap_format {.status.conditions[?(@.type==\"Ready\")].status}"
	fi
	shift 2
	airgap_found=$(kubectl get nodes -o "jsonpath={range .items[*]}$airgap_format{\"\\n\"}{end}") || return 1
	for airgap_node in "$@"; do
		printf '%s\n' "$airgap_found" | grep -qxF -e "$airgap_node $airgap_wanted" || fail "$airgap_node is not \"$airgap_wanted\"; the nodes are:
$airgap_found"
	done
}

# pods_are_ready NAMESPACE: all pods, except those that have completed, such as pods of jobs.
pods_are_ready() {
	airgap_found=$(kubectl -n "$1" get pods -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}') || return 1
	airgap_bad=$(printf '%s\n' "$airgap_found" | awk '$2 != "Succeeded" && $3 != "True"')
	[ -z "$airgap_bad" ] || fail "not ready in $1: $airgap_bad"
}

# wait_for_pods NAMESPACE SECONDS: waits until they are ready; shows events when they are not.
wait_for_pods() {
	wait_for "$2" pods_are_ready "$1" || {
		airgap_show_events "$1"
		fail "pods of $1 are not ready"
	}
}

# node_is_marked NODE LABELS TAINTS: LABELS are key=value, TAINTS key=value:effect, both with blanks between.
node_is_marked() {
	airgap_selector=$(printf '%s' "kubernetes.io/hostname $2" | tr -s ' ' ',')
	airgap_found=$(kubectl get nodes -o name -l "${airgap_selector%,}" --field-selector "metadata.name=$1")
	[ -n "$airgap_found" ] || fail "labels are missing"
	airgap_taints=$(kubectl get node "$1" -o 'jsonpath={range .spec.taints[*]}{.key}={.value}:{.effect}{"\n"}{end}')
	for airgap_taint in $3; do
		printf '%s\n' "$airgap_taints" | grep -qxF -e "$airgap_taint" || fail "the taint $airgap_taint is missing"
	done
}

# mark_node NODE LABELS TAINTS
mark_node() {
	wait_for 120 kubectl get node "$1"
	# shellcheck disable=SC2086  # several words each
	[ -z "$2" ] || kubectl label --overwrite node "$1" $2
	# shellcheck disable=SC2086
	[ -z "$3" ] || kubectl taint --overwrite node "$1" $3
}

# account_token ACCOUNT HOW: a token of the service account of that name, in any namespace. HOW is request, or
# secret if the cluster keeps one for every account. Exits with 44 when there is no such account.
account_token() {
	airgap_namespace=$(kubectl get serviceaccounts --all-namespaces --field-selector "metadata.name=$1" -o 'jsonpath={.items[0].metadata.namespace}')
	[ -n "$airgap_namespace" ] || exit 44
	if [ "$2" = request ]; then
		kubectl -n "$airgap_namespace" create token "$1" --duration=24h
	else
		airgap_secret=$(kubectl -n "$airgap_namespace" get serviceaccount "$1" -o 'jsonpath={.secrets[0].name}')
		kubectl -n "$airgap_namespace" get secret "$airgap_secret" -o 'jsonpath={.data.token}' | base64 -d
	fi
}

# airgap_members_of NODE ADDRESS HAND: ids of its members of etcd, by name or address, as the member of HAND knows them. None
# without HAND, where etcd is elsewhere.
airgap_members_of() {
	[ -n "$3" ] || return 0
	airgap_found=$(airgap_etcdctl "$3" member list) || fail "etcd on $3 does not answer"
	printf '%s\n' "$airgap_found" | awk -F', *' -v name="$1" -v one="//$2:" -v six="//[$2]:" '$3 == name || index($4, one) || index($4, six) { print $1 }'
}

# node_is_forgotten NODE ADDRESS HAND: the cluster has neither a node nor a member of etcd of it.
node_is_forgotten() {
	airgap_found=$(kubectl get node "$1" --ignore-not-found -o name) || fail "the API server does not answer"
	[ -z "$airgap_found" ] || fail "the cluster still has the node $1"
	airgap_found=$(airgap_members_of "$@") || return 1
	[ -z "$airgap_found" ] || fail "etcd still has a member of $1"
}

# forget_lost_node NODE ADDRESS HAND: forget_node for a host that came back empty; until the cluster notices that it was lost
# its node may count as ready.
forget_lost_node() { wait_for 90 forget_node "$@"; }

# forget_node NODE ADDRESS HAND [discarded]: the cluster forgets a node that is gone. Its member of etcd goes first, by the
# member of HAND, a control plane that stands: while it counts, it may cost the majority. HAND is empty where etcd is elsewhere.
# One that is ready is not gone, unless it was just discarded. Ends with 44 when the cluster did not know it.
forget_node() {
	airgap_known=44
	airgap_found=$(kubectl get node "$1" --ignore-not-found -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') || fail "the API server does not answer"
	[ "$airgap_found" != True ] || [ "${4-}" = discarded ] || fail "$1 is ready: it is not gone. A host that has just been lost is told apart after a minute"
	airgap_ids=$(airgap_members_of "$1" "$2" "$3") || return 1
	for airgap_id in $airgap_ids; do
		airgap_etcdctl "$3" member remove "$airgap_id"
		airgap_known=0
	done
	if kubectl get node "$1" -o name >/dev/null 2>&1; then
		kubectl delete node "$1"
		airgap_known=0
	fi
	return "$airgap_known"
}

# remove_node NODE FLAG...: its pods go elsewhere, drained with these flags, then the cluster forgets it. A node that the
# cluster does not have is removed already.
remove_node() {
	airgap_node=$1
	shift
	kubectl get node "$airgap_node" -o name >/dev/null 2>&1 || return 0
	kubectl drain "$airgap_node" "$@" || echo "some pods of $airgap_node were not evicted"
	kubectl delete node "$airgap_node"
}

# What steps ask of the cluster, through kubectl.

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

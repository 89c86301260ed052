# Names of the site in the cluster's DNS: a marked block of CoreDNS's `hosts` plugin.

airgap_corefile() { kubectl -n kube-system get configmap coredns -o 'jsonpath={.data.Corefile}'; }
airgap_coredns_block() {
	printf '    # BEGIN airgap\n    hosts {\n'
	printf '        %s\n' "$@"
	printf '        fallthrough\n    }\n    # END airgap\n'
}

# coredns_knows ENTRY...: each is an address and a name, with a blank between; exactly these.
coredns_knows() {
	airgap_found=$(airgap_corefile) || return 1
	[ "$(printf '%s\n' "$airgap_found" | sed -n '/# BEGIN airgap/,/# END airgap/p')" = "$(airgap_coredns_block "$@")" ] || fail "CoreDNS does not have these names"
}

# tell_coredns ENTRY...: inserts them before the plugin that answers for the cluster, and restarts CoreDNS.
tell_coredns() {
	airgap_file=$(mktemp)
	airgap_block=$(mktemp)
	trap 'rm -f "$airgap_file" "$airgap_block"' EXIT
	airgap_coredns_block "$@" >"$airgap_block"
	airgap_found=$(airgap_corefile) || airgap_found=
	[ -n "$airgap_found" ] || fail "cannot read the configuration of CoreDNS"
	printf '%s\n' "$airgap_found" | sed '/# BEGIN airgap/,/# END airgap/d' | awk -v block="$airgap_block" '
		!done && /^ *kubernetes / { while ((getline line <block) > 0) print line; done = 1 }
		{ print }' >"$airgap_file"
	grep -q '# BEGIN airgap' "$airgap_file" || fail "the configuration of CoreDNS has no kubernetes plugin"
	kubectl -n kube-system create configmap coredns --from-file=Corefile="$airgap_file" --dry-run=client -o yaml | kubectl replace -f -
	kubectl -n kube-system rollout restart deployment/coredns
	roll_out kube-system deployment/coredns 120
}

# For users who log in on a control plane: a kubeconfig, and bash completion.

# airgap_home_of USER: prints nothing for a user that does not exist.
airgap_home_of() { getent passwd "$1" | cut -d: -f6; }

# kubeconfig_is_current USER: the user's kubeconfig equals the administrator's.
kubeconfig_is_current() { cmp -s /etc/kubernetes/admin.conf "$(airgap_home_of "$1")/.kube/config"; }

# copy_kubeconfig USER: copies it to the path where kubectl looks for it.
copy_kubeconfig() {
	airgap_of_user=$(airgap_home_of "$1")
	[ -n "$airgap_of_user" ] || fail "the user $1 does not exist"
	install -d -m 700 -o "$1" "$airgap_of_user/.kube"
	keep "$airgap_of_user/.kube/config"
	install -m 600 -o "$1" /etc/kubernetes/admin.conf "$airgap_of_user/.kube/config"
}

# give_back_kubeconfig USER: restores the user's own.
give_back_kubeconfig() {
	airgap_of_user=$(airgap_home_of "$1")
	[ -z "$airgap_of_user" ] || give_back "$airgap_of_user/.kube/config"
}

# completes PROGRAM...: bash completes them.
completes() {
	for airgap_program in "$@"; do
		[ -s /etc/bash_completion.d/"$airgap_program" ] || fail "bash does not complete $airgap_program"
	done
}

# make_completions PROGRAM...
make_completions() {
	mkdir -p /etc/bash_completion.d
	for airgap_program in "$@"; do "$airgap_program" completion bash >/etc/bash_completion.d/"$airgap_program"; done
}

# remove_completions PROGRAM...
remove_completions() {
	for airgap_program in "$@"; do rm -f /etc/bash_completion.d/"$airgap_program"; done
}

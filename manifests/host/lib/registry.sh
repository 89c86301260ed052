# A registry that is filled from the bundle, by airgap or by others.

# airgap_log_in: stdin is Docker's config.json with the login. It is in memory, and gone when the step ends.
airgap_log_in() {
	DOCKER_CONFIG=$(mktemp -d /run/airgap-login.XXXXXX)
	export DOCKER_CONFIG
	trap 'rm -rf "$DOCKER_CONFIG"' EXIT
	cat >"$DOCKER_CONFIG/config.json"
}

# registry_has_bundle TOOL BUNDLE TARGET FLAG...: every image of the bundle, under the names that push gives them.
# TOOL is the folder of airgap itself; stdin is Docker's config.json with the login.
registry_has_bundle() {
	airgap_log_in
	airgap_tool=$1
	airgap_bundle=$2
	airgap_target=$3
	shift 3
	airgap_found=$("$airgap_tool/bin/airgap" push "$airgap_bundle" "$airgap_target" --dry-run --quiet "$@") || fail "$airgap_found"
	airgap_missing=$(printf '%s\n' "$airgap_found" | awk '$1 == "would-push" || $1 == "would-replace" { print $2 }')
	[ -z "$airgap_missing" ] || fail "the registry does not have these images, or has different ones under these names. To push them: airgap push BUNDLE $airgap_target
$airgap_missing"
}

# push_bundle TOOL BUNDLE TARGET FLAG...: stdin as above. Projects are there already.
push_bundle() {
	airgap_log_in
	airgap_tool=$1
	shift
	"$airgap_tool/bin/airgap" push "$@"
}

# A registry that others run and fill.

# registry_has_bundle TOOL BUNDLE TARGET FLAG...: every image of the bundle, under the names that push gives them.
# TOOL is the folder of airgap itself; stdin is Docker's config.json with the login.
registry_has_bundle() {
	DOCKER_CONFIG=$(mktemp -d)
	export DOCKER_CONFIG
	trap 'rm -rf "$DOCKER_CONFIG"' EXIT
	cat >"$DOCKER_CONFIG/config.json"
	airgap_tool=$1
	airgap_bundle=$2
	airgap_target=$3
	shift 3
	airgap_found=$("$airgap_tool/bin/airgap" push "$airgap_bundle" "$airgap_target" --dry-run --quiet "$@") || fail "$airgap_found"
	airgap_missing=$(printf '%s\n' "$airgap_found" | awk '$1 == "would-push" { print $2 }')
	[ -z "$airgap_missing" ] || fail "the registry does not have these images, or has different ones under these names. To push them: airgap push BUNDLE $airgap_target
$airgap_missing"
}

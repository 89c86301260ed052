# The system's own store of authorities, for curl, git and people. TOOL makes its BUNDLE from a folder of certificates.
# A host without TOOL does not have a store that programs read.

# trust_store_has TOOL BUNDLE LINE: LINE is in one certificate only.
trust_store_has() { ! have "$1" || grep -qF -e "$3" "$2" || fail "$2 does not have the certificate"; }

# update_trust_store TOOL [OPTION...]
update_trust_store() { if have "$1"; then "$@"; fi; }

# remove_from_trust_store FILE TOOL [OPTION...]
remove_from_trust_store() {
	rm -f "$1"
	shift
	update_trust_store "$@"
}

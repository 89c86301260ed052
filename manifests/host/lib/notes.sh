# Notes that a host keeps about itself, so that work is not done twice. They are files below airgap's own folder.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# is_noted NAME TEXT
is_noted() { [ "$(cat "$airgap_home/$1" 2>/dev/null)" = "$2" ]; }

# note NAME TEXT
note() {
	case $1 in */*) mkdir -p "$airgap_home/${1%/*}" ;; esac
	printf '%s\n' "$2" >"$airgap_home/$1"
}

# drop_note NAME
drop_note() { rm -f "$airgap_home/$1"; }

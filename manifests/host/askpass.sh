#!/bin/sh
# Answers what ssh asks. The answers are in the environment that ssh got: no file and no list of processes has them.
case $1 in
*'authenticity of host'*)
	printf '%s\n' "$1" >"$AIRGAP_ASK_DIR/host-key"
	case $1 in
	*"${AIRGAP_ASK_FINGERPRINT:-none}"*) echo yes ;;
	*) echo no ;;
	esac
	;;
*assphrase*)
	printf '%s\n' "$1" >"$AIRGAP_ASK_DIR/passphrase"
	printf '%s\n' "${AIRGAP_ASK_PASSPHRASE:-}"
	;;
*)
	# A jump host that asks for a password must not get the one of the host behind it.
	for name in $AIRGAP_ASK_FOR; do
		case $1 in
		*"@$name'"* | *"@$name)"* | "$name") printf '%s\n' "${AIRGAP_ASK_PASSWORD:-}" && exit ;;
		esac
	done
	case $1 in
	*@*) ;;
	*) [ -z "$AIRGAP_ASK_DIRECT" ] || printf '%s\n' "${AIRGAP_ASK_PASSWORD:-}" && exit ;;
	esac
	printf '%s\n' "$1" >"$AIRGAP_ASK_DIR/other"
	exit 1
	;;
esac

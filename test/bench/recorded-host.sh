#!/bin/sh
# A host that is played behind a real sshd: sh recorded-host.sh FOLDER, with the request in SSH_ORIGINAL_COMMAND.
# It changes nothing but FOLDER. Files there: facts (what facts.sh printed on a real host), done (steps that are
# done), extra (seconds that each step takes longer). Beside it: times (seconds of a step, by its name).
dir=$1
case $SSH_ORIGINAL_COMMAND in
'id -u') echo 0 ;;
'echo '*) exec sh -c "$SSH_ORIGINAL_COMMAND" ;;
*'cat >'*) exec cat >/dev/null ;;
*) exec awk -f "${0%.sh}.awk" -v dir="$dir" -v times="${dir%/*}/times" ;;
esac

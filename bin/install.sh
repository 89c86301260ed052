#!/bin/sh
# Puts this unpacked airgap on the PATH, with completion for bash, zsh and fish and its man pages:
#   ./install.sh                      as root into /usr/local, else into ~/.local
#   ./install.sh --prefix DIR         somewhere else
#   ./install.sh --uninstall [--prefix DIR]
# Needs nothing but sh and the usual cp, ln, mv, mkdir and rm.
set -eu

fail() {
  echo "$1" >&2
  exit "${2:-1}"
}
usage() {
  sed -n '2,5s/^# *//p' "$0"
}

prefix=
uninstall=no
while [ $# -gt 0 ]; do
  case $1 in
  --prefix)
    [ $# -ge 2 ] || fail "--prefix needs a folder" 2
    prefix=$2
    shift
    ;;
  --prefix=*) prefix=${1#--prefix=} ;;
  --uninstall) uninstall=yes ;;
  -h | --help)
    usage
    exit 0
    ;;
  *) fail "install.sh knows --prefix DIR and --uninstall, not '$1'" 2 ;;
  esac
  shift
done
if [ -z "$prefix" ]; then
  if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=${HOME:?}/.local; fi
fi
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
home=$prefix/lib/airgap

# Only what leads into our own folder is ours to replace or to remove.
ours() {
  [ -L "$1" ] || return 1
  case $(readlink "$1") in "$home"/*) return 0 ;; *) return 1 ;; esac
}
drop() {
  for link in "$prefix/bin/airgap" "$prefix"/share/man/man1/airgap*.1 \
    "$prefix/share/bash-completion/completions/airgap" "$prefix/share/zsh/site-functions/_airgap" \
    "$prefix/share/fish/vendor_completions.d/airgap.fish"; do
    if ours "$link"; then rm -f "$link"; fi
  done
}
free() {
  if [ -e "$1" ] || [ -L "$1" ]; then
    ours "$1" || fail "$1 is there already and is not from this installer: move it away, or use --prefix DIR"
  fi
}
place() {
  free "$2"
  mkdir -p "$(dirname "$2")"
  ln -sfn "$1" "$2"
}

if [ "$uninstall" = yes ]; then
  [ -d "$home" ] || fail "airgap is not installed below $prefix"
  drop
  rm -rf "$home"
  echo "Removed airgap from $prefix."
  exit 0
fi

from=$(cd "$(dirname "$0")" && pwd -P)
[ -x "$from/node/bin/node" ] || fail "$from is not an unpacked archive of airgap: it has no node/bin/node"
"$from/bin/airgap" --version >/dev/null || fail "airgap does not run on this machine; see the message above"
free "$prefix/bin/airgap"

if [ "$from" != "$home" ]; then
  # Whole beside the old one first: an interruption leaves the old one working.
  mkdir -p "$prefix/lib"
  rm -rf "$home.new" "$home.old"
  cp -R "$from" "$home.new"
  if [ -d "$home" ]; then mv "$home" "$home.old"; fi
  mv "$home.new" "$home"
  rm -rf "$home.old"
fi
drop
place "$home/bin/airgap" "$prefix/bin/airgap"
for page in "$home"/share/man/man1/*.1; do place "$page" "$prefix/share/man/man1/${page##*/}"; done
place "$home/share/completion/airgap.bash" "$prefix/share/bash-completion/completions/airgap"
place "$home/share/completion/_airgap" "$prefix/share/zsh/site-functions/_airgap"
place "$home/share/completion/airgap.fish" "$prefix/share/fish/vendor_completions.d/airgap.fish"
echo "airgap is in $home, and $prefix/bin/airgap starts it."
case :$PATH: in
*:"$prefix/bin":*) ;;
*) echo "$prefix/bin is not on the PATH yet: export PATH=$prefix/bin:\$PATH" ;;
esac

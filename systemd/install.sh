#!/bin/sh
# Puts the service on a box, or takes it off: `make install`, `make uninstall`.
#
# EXTRA    cpu or gpu: the runtime that is installed, and the unit that fits it
# PREFIX   where the program goes; the settings are always in /etc/goodparts, the state in /var/lib/goodparts
# DESTDIR  for packages and tests: everything goes below it, and nothing of the running system is touched
# ENABLE   1: the service also starts at boot
# PYTHON   Python 3.11 or later
# PIP_OPTIONS  for pip, such as "--no-index --find-links /media/stick/wheels-cpu" on a box without a network
set -eu
umask 022 # the service's user must be able to read the program

EXTRA=${EXTRA:-cpu}
PREFIX=${PREFIX:-/opt/goodparts}
DESTDIR=${DESTDIR:-}
PYTHON=${PYTHON:-python3.11}
SOURCE=$(cd "$(dirname "$0")/.." && pwd)
DATA=/usr/local/lib # below it systemd looks for files that no package brings; /etc is left to the administrator
UNIT=$DATA/systemd/system/goodparts.service
SETTINGS=/etc/goodparts/goodparts.yaml
STATE=/var/lib/goodparts
COMMAND=/usr/local/bin/goodparts

fail() {
    echo "install: $1" >&2
    exit 2
}

check() {
    case $EXTRA in cpu | gpu) ;; *) fail "EXTRA=$EXTRA: give cpu or gpu." ;; esac
    case $PREFIX in /?*) ;; *) fail "PREFIX=$PREFIX: give an absolute path." ;; esac
    case "$PREFIX$DESTDIR" in
    *[!A-Za-z0-9/._-]*) fail "$DESTDIR$PREFIX: letters, digits, '/', '.', '_' and '-' only." ;;
    esac
    [ -n "$DESTDIR" ] || [ "$(id -u)" = 0 ] || fail "this needs root's rights: sudo make install."
}

check_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "PYTHON=$PYTHON: Python 3.11 or later is needed."
    place=$("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')
    case $DESTDIR$place in
    /root?* | /home?*) fail "PYTHON=$PYTHON is in $place, which the service cannot see. Give one of the system." ;;
    esac
}

# The new program is made beside the old one and takes its place when it is whole: a download that breaks off leaves
# the old one as it was.
install_program() {
    home=$DESTDIR$PREFIX
    mkdir -p "$home"
    rm -rf "$home/.venv-new"
    "$PYTHON" -m venv --prompt goodparts "$home/.venv-new"
    # Built from a copy: a build leaves its traces, and would take up those of an earlier one.
    mkdir "$home/.venv-new/source"
    cp -R "$SOURCE/appliance" "$SOURCE/engines" "$SOURCE/export" "$SOURCE/config" "$SOURCE/systemd" \
        "$SOURCE/pyproject.toml" "$SOURCE/README.md" "$SOURCE/LICENSE" "$home/.venv-new/source"
    # shellcheck disable=SC2086 # options, split at spaces
    "$home/.venv-new/bin/python" -m pip install --quiet --disable-pip-version-check -c "$SOURCE/constraints/box.txt" \
        ${PIP_OPTIONS:-} "$home/.venv-new/source[$EXTRA,prompts]"
    rm -rf "$home/.venv-new/source"
    settle_program
    rm -rf "$home/.venv-old"
    [ ! -e "$home/.venv" ] || mv "$home/.venv" "$home/.venv-old"
    mv "$home/.venv-new" "$home/.venv"
    rm -rf "$home/.venv-old"
}

# Scripts name their Python by its full path: that of the place where they will lie.
settle_program() {
    grep -rlIF "$home/.venv-new" "$home/.venv-new/bin" "$home/.venv-new/pyvenv.cfg" | while IFS= read -r file; do
        sed "s|$home/.venv-new|$PREFIX/.venv|g" "$file" >"$file.new"
        cat "$file.new" >"$file" # keeps the file's rights
        rm "$file.new"
    done
}

put() { # FROM TO: with the program's place written in
    mkdir -p "$(dirname "$DESTDIR$2")"
    sed "s|/opt/goodparts/|$PREFIX/|g" "$1" >"$DESTDIR$2.new"
    chmod 644 "$DESTDIR$2.new"
    mv "$DESTDIR$2.new" "$DESTDIR$2"
}

install_files() {
    case $EXTRA in
    gpu) put "$SOURCE/systemd/goodparts-nvidia.service" "$UNIT" ;;
    cpu) put "$SOURCE/systemd/goodparts.service" "$UNIT" ;;
    esac
    put "$SOURCE/systemd/goodparts.sysusers" "$DATA/sysusers.d/goodparts.conf"
    put "$SOURCE/systemd/goodparts.tmpfiles" "$DATA/tmpfiles.d/goodparts.conf"
    if [ ! -e "$DESTDIR$SETTINGS" ] && [ ! -L "$DESTDIR$SETTINGS" ]; then
        put "$SOURCE/systemd/goodparts.yaml" "$SETTINGS"
        echo "first settings: $SETTINGS"
    else
        echo "settings left as they are: $SETTINGS"
    fi
    mkdir -p "$DESTDIR/usr/local/bin"
    if [ -L "$DESTDIR$COMMAND" ] || [ ! -e "$DESTDIR$COMMAND" ]; then
        ln -sfn "$PREFIX/.venv/bin/goodparts" "$DESTDIR$COMMAND"
    else
        echo "install: $COMMAND is somebody else's file and is left alone." >&2
    fi
}

# User, folders and rights first: the unit needs them.
tell_system() {
    systemd-sysusers "$DATA/sysusers.d/goodparts.conf"
    systemd-tmpfiles --create "$DATA/tmpfiles.d/goodparts.conf"
    [ -d /run/systemd/system ] || return 0 # a box that is being built: systemd reads the files when it starts
    systemctl daemon-reload
    [ "${ENABLE:-}" != 1 ] || systemctl enable goodparts.service
    systemctl try-restart goodparts.service # a running service goes on with the new program
}

uninstall() {
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ] && [ -e "$UNIT" ]; then
        systemctl disable --now goodparts.service
    fi
    rm -f "$DESTDIR$UNIT" "$DESTDIR$DATA/sysusers.d/goodparts.conf" "$DESTDIR$DATA/tmpfiles.d/goodparts.conf"
    [ "$(readlink "$DESTDIR$COMMAND" || true)" != "$PREFIX/.venv/bin/goodparts" ] || rm -f "$DESTDIR$COMMAND"
    rm -rf "$DESTDIR$PREFIX/.venv" "$DESTDIR$PREFIX/.venv-new" "$DESTDIR$PREFIX/.venv-old"
    [ ! -d "$DESTDIR$PREFIX" ] || rmdir "$DESTDIR$PREFIX" 2>/dev/null || echo "left, since it is not empty: $PREFIX"
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
    echo "left: settings in /etc/goodparts, banks, results and history in $STATE, the user goodparts,"
    echo "and what you added in /etc/systemd/system/goodparts.service.d. To remove these too:"
    echo "  rm -r /etc/goodparts $STATE /etc/systemd/system/goodparts.service.d; userdel goodparts"
}

case ${1:-} in
install)
    check
    check_python
    install_program
    install_files
    [ -n "$DESTDIR" ] || tell_system
    echo "next: edit $SETTINGS, then: goodparts config check $SETTINGS; systemctl enable --now goodparts"
    ;;
files) # for packages that bring the program in their own way
    check
    install_files
    ;;
uninstall)
    check
    uninstall
    ;;
*) fail "give install, files or uninstall." ;;
esac

#!/bin/sh
# Prepares a Debian machine to build wherry and to run its boards: installs missing Debian packages, then npm packages. Ends
# quickly if none is missing. Prints progress on standard error, since standard output belongs to the next command.
# WHERRY_SKIP_PREPARE=1 skips it.
set -eu

say() { echo "prepare: $*" >&2; }
fail() {
    say "$*"
    exit 1
}

[ "${WHERRY_SKIP_PREPARE:-}" = 1 ] && exit 0
cd "$(dirname "$0")/.."

command -v node >/dev/null || fail "Node is missing; install Node 20.19 or newer."
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    fail "Node $(node --version) is too old; install Node 20.19 or newer."
command -v npm >/dev/null || fail "npm is missing; install it (on Debian: apt-get install npm)."
command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    fail "This is not a Debian system; building packages and running boards needs Debian 12 or 13."

# --- Debian packages -------------------------------------------------------------------------------------------------

case "$(dpkg --print-architecture)" in
amd64) compilers="g++ g++-aarch64-linux-gnu g++-arm-linux-gnueabihf" ;;
arm64) compilers="g++ g++-x86-64-linux-gnu g++-arm-linux-gnueabihf" ;;
*) fail "Machines of the architecture $(dpkg --print-architecture) cannot build wherry; use amd64 or arm64." ;;
esac

# For boards, their disks and their network; broker, web server, proxy and database of tests; image tools of other projects, for comparison; tools
# that make images and packages.
wanted="qemu-system-arm qemu-user qemu-utils ipxe-qemu nbdkit systemd-container slirp4netns iproute2 mosquitto nginx tinyproxy
    buildah docker-registry libfaketime postgresql skopeo umoci
    mmdebstrap debian-archive-keyring gnupg e2fsprogs erofs-utils fsverity cpio busybox-static kmod fakeroot file openssl
    $compilers binutils dpkg-dev bzip2 xz-utils zstd"

missing=
# shellcheck disable=SC2086 # one word for each package
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null || true)
for package in $wanted; do
    case "
$installed
" in
    *"
installed $package
"*) ;;
    *) missing="$missing $package" ;;
    esac
done

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        fail "These Debian packages are missing and need root or sudo to install:$missing"
    fi
    say "installing Debian packages:$missing"
    $as_root apt-get update -q >&2 || say "the package index could not be refreshed; using the existing one"
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2 ||
        fail "The Debian packages could not be installed; the reason is above."
    # Debian starts a service when it is installed. Tests start their own, on other ports.
    case "$missing" in
    *mosquitto*) $as_root systemctl disable --now mosquitto.service >/dev/null 2>&1 || true ;;
    esac
    case "$missing" in
    *nginx*) $as_root systemctl disable --now nginx.service >/dev/null 2>&1 || true ;;
    esac
    case "$missing" in
    *tinyproxy*) $as_root systemctl disable --now tinyproxy.service >/dev/null 2>&1 || true ;;
    esac
    case "$missing" in
    *docker-registry*) $as_root systemctl disable --now docker-registry.service >/dev/null 2>&1 || true ;;
    esac
    case "$missing" in
    *postgresql*) $as_root systemctl disable --now postgresql.service >/dev/null 2>&1 || true ;;
    esac
fi

# --- npm packages ----------------------------------------------------------------------------------------------------

stamp=node_modules/.wherry-lock
lock=$(cksum <package-lock.json)

# npm keeps a copy of the lock file in node_modules; if that is newer than the project's, the packages are installed.
# An installation with scripts drops the native modules that it cannot compile.
up_to_date() {
    [ -d node_modules/sd-notify ] && [ -d node_modules/systemd-journald ] || return 1
    [ "$(cat "$stamp" 2>/dev/null)" = "$lock" ] && return 0
    [ -f node_modules/.package-lock.json ] &&
        [ -z "$(find package-lock.json -newer node_modules/.package-lock.json)" ]
}

if ! up_to_date; then
    say "installing npm packages"
    # Scripts of dependencies do not run; cross/addon.ts compiles the native modules for the boards.
    npm ci --ignore-scripts >&2 || fail "The npm packages could not be installed; the reason is above."
fi
[ "$(cat "$stamp" 2>/dev/null)" = "$lock" ] || echo "$lock" >"$stamp"

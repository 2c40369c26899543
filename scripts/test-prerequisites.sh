#!/usr/bin/env bash
# Installs what the tests with containers, Mesos, ZooKeeper, PostgreSQL and a browser need from Debian's packages, where that is possible without
# asking. What cannot be installed makes those tests skip with a reason, or fail when CI is set: this script itself only
# tells. The binary of Mesos is not among it: the tests fetch that into the user's cache, with pypi-simple.
set -uo pipefail

packages=()
command -v dockerd >/dev/null || [ -x /usr/sbin/dockerd ] || packages+=(docker.io)
command -v busybox >/dev/null || packages+=(busybox-static)
command -v g++ >/dev/null && command -v gcc >/dev/null || packages+=(g++)
{ ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -q 'libz\.so\.1 ' || packages+=(zlib1g)
command -v java >/dev/null || packages+=(default-jre-headless)
compgen -G '/usr/share/java/zookeeper*.jar' >/dev/null || packages+=(zookeeper)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)
command -v chromium >/dev/null || packages+=(chromium)
[ ${#packages[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "test-prerequisites: some tests need ${packages[*]}, which only root can install with apt-get" >&2
    exit 0
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { apt-get install --yes --no-install-recommends "${packages[@]}" </dev/null >>"$log" 2>&1; }
echo "test-prerequisites: installing ${packages[*]}"
install || { apt-get update </dev/null >>"$log" 2>&1 && install; } || {
    echo "test-prerequisites: could not install ${packages[*]}:" >&2
    tail -n 20 "$log" >&2
}
exit 0

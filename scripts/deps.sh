#!/bin/sh
# Install the Debian packages that are missing. `deps.sh build`: what the program needs; `deps.sh build
# test`: also what the tests need; likewise `bench` and `style`. Does nothing, quickly, when all are there.
set -eu

build="gcc g++ make pkg-config binutils git libuv1-dev libnghttp2-dev libssl-dev libfyaml-dev libzstd-dev
    libxxhash-dev libcurl4-openssl-dev libexpat1-dev zlib1g-dev liblua5.4-dev
    libsqlite3-dev libpcre2-dev liblz4-dev libsnappy-dev librdkafka-dev curl"
test="libcmocka-dev openssl python3 nghttp2-client wrk man-db chromium kcat"
bench="postgresql postgresql-client libpq-dev redis-server libhiredis-dev libsqlite3-dev wrk"
style="clang-format clang-tidy"

# The console is built by npm. Debian's Node.js runs npm; what is too old for Vite is made good by scripts/node.sh.
command -v node >/dev/null && command -v npm >/dev/null || build="$build nodejs npm"

wanted=
for set in "$@"; do
    case $set in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    bench) wanted="$wanted $bench" ;;
    style) wanted="$wanted $style" ;;
    *) echo "deps.sh: there is no set of packages named $set" >&2; exit 2 ;;
    esac
done

missing=
for package in $wanted; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "These packages are missing, and installing them needs root:$missing" >&2
    echo "  sudo apt-get install$missing" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null

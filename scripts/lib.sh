# Shared by the scripts of this folder: words for people, packages, the build.  Source it; $TOP is the checkout.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# step TEXT COMMAND...: runs it quietly with a mark of progress; its output is shown when it fails.
step() {
	local text=$1 log began rc; shift
	log=$(mktemp) || die "cannot make a temporary file"
	began=$SECONDS
	printf '%s ...' "$text" >&2
	"$@" >"$log" 2>&1 </dev/null &
	local pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		[ $(( (SECONDS - began) % 5 )) = 0 ] && [ -t 2 ] && printf '\r%s ... %ss' "$text" $((SECONDS - began)) >&2
	done
	wait "$pid"; rc=$?
	if [ $rc = 0 ]; then
		printf '\r%s: done (%ss)\n' "$text" $((SECONDS - began)) >&2
	else
		printf '\r%s: failed\n' "$text" >&2
		tail -n 40 "$log" >&2
	fi
	rm -f "$log"
	return $rc
}

# missing_packages KIND...: those of scripts/packages that are not installed
missing_packages() {
	local kind name
	while read -r kind name; do
		case " $* " in *" $kind "*) ;; *) continue ;; esac
		dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$name"
	done < <(grep -v '^#' "$TOP/scripts/packages")
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

install_packages() {
	local missing
	missing=$(missing_packages "$@")
	[ -z "$missing" ] && return 0
	command -v apt-get >/dev/null || die "these packages are missing, and there is no apt-get here: $missing"
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		die "as root, run: apt-get install $missing"
	fi
	# shellcheck disable=SC2086
	step "installing $(wc -w <<<"$missing") packages" apt_install $missing ||
		die "the packages could not be installed; try: apt-get update && apt-get install $missing"
}

# build PRESET
build() {
	local dir=$TOP/build/$1
	if [ ! -f "$dir/build.ninja" ]; then
		(cd "$TOP" && step "configuring $1" cmake --preset "$1") || return 1
	fi
	(cd "$TOP" && step "building $1" cmake --build --preset "$1")
}

# shellcheck shell=bash
# Shared by the scripts of this folder: words for people, packages, the build.  Source it; $TOP is the checkout.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1

EX_USAGE=64

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# What the steps leave behind must go however the script ends.
step_log=
forget_step() { [ -n "$step_log" ] && rm -f "$step_log"; step_log=; }
trap forget_step EXIT

# tick TEXT LOG: the seconds and the newest line of LOG, on a terminal in place, else now and then; until its input ends, as
# it does when the script does.
tick() {
	local began=$SECONDS newest pause=10
	[ -t 2 ] && pause=1
	while read -r -t "$pause"; [ $? -gt 128 ]; do
		newest=$(tail -n 1 "$2" 2>/dev/null | tr -cd '[:print:]' | cut -c 1-60)
		if [ -t 2 ]; then
			printf '\r%s ... %ss  %s\033[K' "$1" $((SECONDS - began)) "$newest" >&2
		else
			printf '%s ... %ss  %s\n' "$1" $((SECONDS - began)) "$newest" >&2
		fi
	done
}

# step TEXT COMMAND...: runs it with a mark of progress.  The command stays in the foreground, so that Ctrl-C reaches it.
# Afterwards $step_failed is the end of what a failed command said, which is also shown.
step() {
	local text=$1 began=$SECONDS rc clear=; shift
	step_log=$(mktemp) || die "cannot make a temporary file in ${TMPDIR:-/tmp}"
	if [ -t 2 ]; then
		clear=$'\r\033[K'
		printf '%s ...' "$text" >&2
	else
		say "$text ..."
	fi
	exec 9> >(tick "$text" "$step_log")
	"$@" >"$step_log" 2>&1 </dev/null 9>&-
	rc=$?
	exec 9>&-
	wait $!
	step_failed=
	if [ $rc = 0 ]; then
		say "$clear$text: done ($((SECONDS - began))s)"
	else
		say "$clear$text: failed"
		step_failed=$(tail -n 40 "$step_log")
		say "$step_failed"
	fi
	forget_step
	return $rc
}

# missing_packages KIND...: those of scripts/packages that are not installed
missing_packages() {
	local kind name wanted=()
	while read -r kind name; do
		case " $* " in *" $kind "*) wanted+=("$name") ;; esac
	done < <(grep -v '^#' "$TOP/scripts/packages")
	comm -23 <(printf '%s\n' "${wanted[@]}" | sort) \
		<(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/^installed //p' | sort) |
		tr '\n' ' '
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# A mirror that does not answer shows at the install; other people's broken sources need not stop us.
apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q -o DPkg::Lock::Timeout=120
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=120 "$@"
}

# install_packages KIND...: makes sure of them, or ends with what to do
install_packages() {
	local missing by_hand
	missing=$(missing_packages "$@")
	[ -z "$missing" ] && return 0
	by_hand="apt-get update && apt-get install --no-install-recommends $missing"
	command -v apt-get >/dev/null || die "these Debian packages are missing, and there is no apt-get here: $missing"
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "packages are missing, and there is no sudo here; as root, run: $by_hand"
		# A password is asked for here, not beneath the mark of progress.
		sudo -n true 2>/dev/null || sudo -v || die "packages are missing, and sudo refused; as root, run: $by_hand"
	fi
	# shellcheck disable=SC2086
	step "installing $(wc -w <<<"$missing") packages" apt_install $missing && return 0
	if grep -qE 'Temporary failure resolving|Could not resolve|Failed to fetch|[Cc]ould not connect|Network is unreachable' \
		<<<"$step_failed"; then
		die "apt-get could not reach its mirror: is there a network here?  Then run this again, or install by hand: $by_hand"
	fi
	die "the packages could not be installed; the reason stands above.  By hand: $by_hand"
}

# build PRESET: configures where that was not done, and builds
build() {
	local dir=$TOP/build/$1
	mkdir -p "$dir" 2>/dev/null && [ -w "$dir" ] || {
		say "${0##*/}: cannot write to $dir: was it built by another user?  Remove $TOP/build, or use a clone of your own"
		return 1
	}
	if [ ! -f "$dir/build.ninja" ]; then
		(cd "$TOP" && step "configuring $1" cmake --preset "$1") || return 1
	fi
	(cd "$TOP" && step "building $1" cmake --build --preset "$1")
}

# Fuzzing: the targets are in the build with the sanitizers, all else is in build/fuzz.
# shellcheck disable=SC2034
FUZZ_TARGETS=$TOP/build/asan+ubsan/fuzz
# What a target starts from.  $1 is its name, build/fuzz/seeds is made by scripts/fuzz-seeds.
fuzz_kept() { find "$TOP" -path "$TOP/build" -prune -o -type d -path "*/corpus/$1" -print | head -n 1; }
fuzz_seeds() { [ ! -d "$TOP/build/fuzz/seeds/$1" ] || echo "$TOP/build/fuzz/seeds/$1"; }
fuzz_dictionary() { # our own beside the corpus, else what was put together of the suites'
	local own
	own=$(find "$TOP" -path "$TOP/build" -prune -o -path "*/corpus/$1.dict" -print | head -n 1)
	[ -z "$own" ] && [ -f "$TOP/build/fuzz/seeds/$1.dict" ] && own=$TOP/build/fuzz/seeds/$1.dict
	echo "$own"
}

# fuzz_run PROGRAM SECONDS [OPTION...]: what is new is kept in build/fuzz/new/NAME, what fails in build/fuzz/failed
fuzz_run() {
	local program=$1 seconds=$2 name=${1##*/} kept seeds dictionary; shift 2
	kept=$(fuzz_kept "$name") seeds=$(fuzz_seeds "$name") dictionary=$(fuzz_dictionary "$name")
	mkdir -p "$TOP/build/fuzz/new/$name" "$TOP/build/fuzz/failed"
	"$program" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=60 -artifact_prefix="$TOP/build/fuzz/failed/$name-" \
		${dictionary:+"-dict=$dictionary"} "$@" "$TOP/build/fuzz/new/$name" ${kept:+"$kept"} ${seeds:+"$seeds"}
}

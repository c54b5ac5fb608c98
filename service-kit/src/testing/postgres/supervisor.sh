# Owns one Postgres and its folder. Does what it reads, a word a line, and answers each with a
# line: the exit status, and the server's process id while there is one. The end of its input (the
# test process has gone, however) is the end of the server and of the folder.
#
# usage: sh supervisor.sh FOLDER BINDIR [OPTION OF postgres]...

folder=$1 bin=$2 pid=
shift 2
# Neither an answer that nobody reads nor a closed terminal may keep us from cleaning up.
trap '' PIPE HUP

children() { cat "/proc/$pid/task/$pid/children"; }

# Waits until a process has one of these states, or has gone. (A child of a killed server is adopted
# by others, who may leave it a zombie for long: that counts as gone.) Five seconds at most.
await() {
	patience=500
	while [ $patience -gt 0 ] && grep -qs "^State:[[:space:]][^$2]" "/proc/$1/status"; do
		sleep 0.01
		patience=$((patience - 1))
	done
}

kill_all() {
	[ -n "$pid" ] || return 0
	all=
	# Stopped first, so that it has no more children.
	kill -STOP "$pid" && await "$pid" TZX && all=$(children)
	kill -KILL "$pid" $all
	wait "$pid"
	for child in $all; do await "$child" ZX; done
	pid=
}

stop() {
	[ -n "$pid" ] || return 0
	kill -INT "$pid"
	kill -CONT "$pid" $(children) # in case it is paused
	wait "$pid"
	pid=
}

start() {
	kill_all # also reaps one that has died by itself
	"$bin/postgres" -D "$folder/data" "$@" </dev/null >>"$folder/log" 2>&1 &
	pid=$!
}

init() { "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync; }

# Copies the server on this port, to follow it.
backup() {
	"$bin/pg_basebackup" -h 127.0.0.1 -p "$1" -U postgres -D "$folder/data" -R -X stream -c fast
}

# A killed server leaves its small System V segment to the next one on the folder. There is none.
forget_memory() {
	set -- $(sed -n 7p "$folder/data/postmaster.pid")
	ipcrm -m "$2"
}

while read -r word path; do
	case $word in
	init) init >>"$folder/log" 2>&1 ;;
	backup) backup "$path" >>"$folder/log" 2>&1 ;;
	copy) cp -a "$path/data" "$folder/data" ;;
	start) start "$@" ;;
	kill) kill_all ;;
	stop) stop ;;
	pause) kill -STOP "$pid" && kill -STOP $(children) ;;
	resume) kill -CONT "$pid" $(children) ;;
	*) false ;;
	esac
	echo "$? $pid"
done 2>>"$folder/log"

exec 2>/dev/null
kill_all
forget_memory
cd / && rm -rf "$folder"

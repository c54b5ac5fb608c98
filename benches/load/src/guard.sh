# Runs one program in a folder of its own. When the input of this shell ends (whoever started it has
# gone, however), the program is killed and the folder removed.
#
# usage: sh guard.sh FOLDER PROGRAM [ARGUMENT]...

folder=$1
shift
# A closed terminal may not keep us from cleaning up.
trap '' PIPE HUP
cd "$folder" || exit 1
"$@" </dev/null >"$folder/out" 2>"$folder/log" &
pid=$!
echo "$pid"
while read -r _; do :; done
kill -KILL "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
cd / && rm -rf "$folder"

#!/bin/sh
# The real runc, but for the operation that the file trap names: with a FIFO that
# nobody reads in place of its log it never gets past opening that. "init" lets
# create succeed and stops the init that it leaves, so that start waits for it.
dir=@dir@ runc=@runc@
what=$(cat "$dir/trap" 2>/dev/null)
op= pid= prev=
for a; do
	case $a in create|start|exec|kill|delete|state) [ "$op" ] || op=$a ;; esac
	[ "$prev" = --pid-file ] && pid=$a
	prev=$a
done
if [ "$what" = init ] && [ "$op" = create ]; then
	"$runc" "$@" || exit
	kill -STOP "$(cat "$pid")"
	exit
fi
if [ "$what" ] && [ "$op" = "$what" ]; then
	n=$# prev=
	while [ $n -gt 0 ]; do
		a=$1; shift; n=$((n-1))
		[ "$prev" = --log ] && set -- "$@" "$dir/fifo" || set -- "$@" "$a"
		prev=$a
	done
fi
exec "$runc" "$@"

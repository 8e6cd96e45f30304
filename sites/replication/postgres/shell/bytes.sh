# A few bytes of the log, in hexadecimal. Given: segment, offset, count. Nothing, if the segment is gone.
need_data
[ -f "$data/pg_wal/$segment" ] || exit 0
say bytes "$(tail -c +$((offset + 1)) "$data/pg_wal/$segment" | head -c "$count" | od -An -v -tx1 | tr -d ' \n')"

# Ask the copy. Given: data, user, database, sql or command (neither: how much can be read).
need_copy
postmaster || die 70 "the copy in $data does not run: $(last_words)"
if [ -n "$command" ]; then
    PGHOST=$socket PGPORT=5432 PGUSER=$user PGDATABASE=$database
    export PGHOST PGPORT PGUSER PGDATABASE
    answer=$(/bin/sh -c "$command" 2>&1 </dev/null) || die 70 "it said no: $(printf '%s' "$answer" | tail -n 3 | head -c 1000)"
else
    answer=$(ask_copy "$database" "${sql:-select count(*) from pg_class where relkind in ('r', 'p', 'm') and pg_relation_size(oid) >= 0}") ||
        die 70 "it could not be asked: $(printf '%s' "$answer" | tail -n 3 | head -c 1000)"
fi
printf '%s\n' "$answer" | head -n 20 | head -c 1000 | sed 's/^/answer=/'

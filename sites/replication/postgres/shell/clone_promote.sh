# Promote the copy the way the standby itself would be, and see a transaction written. Given: data, user, within.
need_copy
postmaster || die 70 "the copy in $data does not run: $(last_words)"
now
began=$now
end=$((now + within))
if [ -e "$data/standby.signal" ]; then
    : >"$data/promote" || die 73 "$data/promote cannot be written"
    kill -USR1 "$pm" || die 70 "the copy could not be told to promote"
fi
while [ "$(ask_copy template1 'select pg_is_in_recovery()')" != f ]; do
    alive || die 70 "the copy ended while it was promoted: $(last_words)"
    now
    [ "$now" -lt "$end" ] || die 70 "the copy is not promoted after the time allowed: $(last_words)"
    sleep 0.02
done
now
say took "$(((now - began) * 10))"
written=$(ask_copy template1 'create table twinsite_drill as select txid_current() as written') &&
    written=$(ask_copy template1 'select written from twinsite_drill') ||
    die 70 "the copy accepts no writes: $written"
ask_copy template1 'drop table twinsite_drill' >/dev/null || die 70 "the copy accepts no writes any more"
say transaction "$written"
say timeline "$(ask_copy template1 "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int")"

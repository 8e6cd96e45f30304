# Promote the standby that runs here, as pg_ctl does it, behind the guard's permit.
need_data
postmaster || die 70 "no server runs in $data, so there is nothing to promote"
[ -e "$data/standby.signal" ] || die 65 "the server in $data is no standby"
need_permit
: >"$data/promote" || die 73 "$data/promote cannot be written"
kill -USR1 "$pm" || die 70 "the server in $data could not be told to promote"
say promoted ordered

# Is this host set up as it should be? Changes nothing.
need_data
for tool in postgres pg_controldata pg_rewind pg_basebackup pg_waldump; do
    [ -x "$bin/$tool" ] || say missing "$bin/$tool"
done
for tool in flock setsid; do
    command -v "$tool" >/dev/null || say missing "$tool"
done
[ -w "$data/.." ] || say beside no
if postmaster; then say running yes; fi
[ -e "$data/standby.signal" ] && say signal yes
if [ -n "$config" ]; then
    say autostart "$(grep -sE '^[[:space:]]*auto' "${config%/*}/start.conf" | tr -d '[:space:]')"
fi
[ -e "$beside/rewinding" ] && say rewinding yes
say kept "$(ls -d -- "$data".divergent-* "$data".set-aside-* 2>/dev/null | tr '\n' ' ')"
exit 0

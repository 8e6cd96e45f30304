# Start a stopped server. Given: role (primary, standby), opens (yes: it is to be writable, a standby by the
# promotion that follows), within (centiseconds), mark (what `fenced` held when the start was decided).
need_data
lock
unfenced() { [ "$(cat -- "$beside/fenced" 2>/dev/null)" = "$mark" ]; }
if postmaster; then
    say started already
    exit 0
fi
if [ -n "$(pids)" ]; then
    cut_off 500 || die 70 "these processes of $data are still there: $(pids | tr '\n' ' ')"
fi
forget_the_dead
[ "$opens" = no ] || unfenced || die 75 "$data was fenced after this start was ordered"
if [ "$role" = primary ]; then
    need_permit
    # For this start only, and back as soon as the server has looked, whatever becomes of us.
    trap put_signal EXIT
    trap 'exit 70' HUP INT TERM
    rm -f -- "$data/standby.signal"
else
    put_signal
fi
cd -- "$data" || exit 66
launch
wait_up "$within"
if [ "$opens" = yes ] && ! unfenced; then
    put_signal
    cut_off 500
    die 75 "$data was fenced while it was being started; it was stopped again"
fi
if [ "$role" = primary ]; then
    put_signal
    if ! permitted; then
        cut_off 500
        die 75 "the permit of $data ended while it was being started; it was stopped again"
    fi
fi
say started yes

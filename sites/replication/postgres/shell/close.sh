# Stop in order; if that overruns, cut off. Given: within (centiseconds).
need_data
stopped=already
if postmaster; then
    stopped=fast
    stop_fast "$within" || stopped=overrun
fi
if [ -n "$(pids)" ]; then
    [ "$stopped" = overrun ] || stopped=orphans
    cut_off 500 || die 70 "these processes of $data are still there: $(pids | tr '\n' ' ')"
fi
say stopped "$stopped"
control

# Shared by every script that runs on a database host. POSIX sh, Linux; started as the owner of the data.
# Given before: data, bin, config (may be empty), log (may be empty), service, site, guard (yes or empty).
# Says what it found as key=value lines on standard output, and why it stopped as a sentence on standard
# error, with one of these exit statuses:
#   65 not the data it should be   66 no such directory   69 a tool is missing
#   70 a step failed               73 no room             75 something else is at work here
set -u
umask 077
LC_ALL=C QUOTING_STYLE=literal
export LC_ALL QUOTING_STYLE

beside=$data.twinsite # what we keep about this instance; never inside the data, which is copied and rewound
log=${log:-$beside/postgres.log}
real=$(cd -P -- "$data" 2>/dev/null && pwd -P) || real=

say() { printf '%s=%s\n' "$1" "$2"; }

die() {
    status=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$status"
}

need_data() {
    [ -n "$real" ] || die 66 "there is no data directory $data"
    [ -f "$data/PG_VERSION" ] || die 66 "$data is no PostgreSQL data directory: it has no PG_VERSION"
    need_own
}

# Another user's processes cannot be seen, and its files would get the wrong owner.
need_own() {
    [ -O "$data" ] && return
    die 65 "$data belongs to $(stat -c %U -- "$data"), and this runs as $(id -un): log in as its owner, or set owner"
}

need_tool() { [ -x "$bin/$1" ] || die 69 "$bin/$1 is missing"; }

need_beside() { mkdir -p -- "$beside" || die 73 "$beside cannot be made"; }

# Centiseconds since boot, in $now. No process is started for it.
now() {
    read -r up _ </proc/uptime
    now=${up%.*}${up#*.}
}

# P19: where a guard runs, it alone permits opening, and its permit ends by itself: centiseconds since boot, and
# which boot, as they begin anew with each. `manual` has no end.
permitted() {
    [ "$guard" = yes ] || return 0
    permit_until='' permit_boot='' this_boot=''
    { read -r permit_until permit_boot _ <"$beside/permit"; } 2>/dev/null
    { read -r this_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
    [ -n "$this_boot" ] && [ "$permit_boot" = "$this_boot" ] || return 1
    case $permit_until in
    manual) return 0 ;;
    '' | *[!0-9]*) return 1 ;;
    esac
    now
    [ "$now" -lt "$permit_until" ]
}

# The guard asks its controller when told to, and opens a moment later: it is waited for, not long.
need_permit() {
    now
    permit_wait=$((now + 300))
    while ! permitted; do
        now
        [ "$now" -lt "$permit_wait" ] || break
        sleep 0.01
    done
    permitted || die 75 "the guard of $service at $site does not permit $data to be opened now: it has no answer of its controller that allows it, or it does not run"
}

# One of start, rejoin and rebuild at a time. What they start inherits the lock, so an orphan holds it too;
# a server must not (9>&-).
lock() {
    need_beside
    command -v flock >/dev/null || die 69 "flock is missing (package util-linux)"
    exec 9>>"$beside/lock" || die 73 "$beside/lock cannot be written"
    flock -n 9 || die 75 "another start, rejoin or rebuild of $data is under way; wait for it to end"
}

# Every process of this instance: its working directory is the data directory and it is called postgres.
# By effect and not by parentage: a backend outlives a postmaster that was killed, and goes on committing.
pids() {
    [ -n "$real" ] || return 0
    # shellcheck disable=SC2012
    ls -ldn /proc/[0-9]*/cwd 2>/dev/null | while IFS= read -r line; do
        case $line in
        *" -> $real") ;;
        *) continue ;;
        esac
        pid=${line#*" /proc/"}
        pid=${pid%%/*}
        name=
        { read -r name <"/proc/$pid/comm"; } 2>/dev/null
        case $name in postgres | postmaster) printf '%s\n' "$pid" ;; esac
    done
}

# The parent process in $pm, if it runs. (A single-user server writes a negative number.)
postmaster() {
    pm=
    { read -r pm <"$data/postmaster.pid"; } 2>/dev/null
    case $pm in '' | *[!0-9]*) return 1 ;; esac
    [ "$(readlink "/proc/$pm/cwd" 2>/dev/null)" = "$real" ]
}

# The parent process goes last; a zombie has no working directory any more.
alive() { [ -d "/proc/$pm/cwd/." ]; }

# Whatever starts this server from now on, by itself or by mistake, starts a standby. A running server does
# not look at the file again (restart_after_crash is off).
put_signal() {
    [ -e "$data/standby.signal" ] || : >"$data/standby.signal" || die 73 "$data/standby.signal cannot be written"
}

# to_disk FILE...: as far as this sync knows files; the kernel writes the rest in its own time.
to_disk() { sync -- "$@" 2>/dev/null || :; }

# End every process of this instance within $1 centiseconds: immediate stop, and what is still there at the
# next look, 20 ms later, is killed. Done when two looks, one pause apart, found none: a process that was just being started at
# the first is there at the second.
cut_off() {
    now
    end=$((now + $1)) quiet=0 round=0
    if postmaster; then kill -QUIT "$pm" 2>/dev/null; fi
    while :; do
        left=$(pids)
        if [ -z "$left" ]; then
            quiet=$((quiet + 1))
            [ "$quiet" -ge 2 ] && return 0
        else
            quiet=0
            now
            [ "$now" -ge "$end" ] && return 1
            # shellcheck disable=SC2086
            [ "$round" -ge 1 ] && kill -KILL $left 2>/dev/null
        fi
        round=$((round + 1))
        sleep 0.02
    done
}

# Stop in order: clients are cut at once, then the last checkpoint, then everything is sent to the standby.
# Straight to the parent process and looked at every 10 ms; pg_ctl looks ten times a second.
stop_fast() {
    now
    end=$((now + $1))
    kill -INT "$pm" 2>/dev/null
    while alive; do
        now
        [ "$now" -ge "$end" ] && return 1
        sleep 0.01
    done
}

control() {
    need_tool pg_controldata
    "$bin/pg_controldata" -D "$data" || die 70 "pg_controldata could not read $data"
}

# The data directory is of the cluster $system_id, or nothing more is done.
need_same_cluster() {
    found=$(control | sed -n 's/^Database system identifier:[[:space:]]*//p')
    [ "$found" = "$system_id" ] || die 65 "$data belongs to another cluster ($found, not $system_id); nothing was touched"
}

last_words() { tail -n 4 -- "$log" 2>/dev/null | tr '\n' ' '; }

# The server's parent process, in a session of its own, holding nothing of ours open.
launch() {
    need_tool postgres
    command -v setsid >/dev/null || die 69 "setsid is missing (package util-linux)"
    setsid "$bin/postgres" -D "$data" ${config:+-c "config_file=$config"} </dev/null >>"$log" 2>&1 9>&- &
    child=$!
}

# The files of a server that was killed. No process of this instance is left (the caller has seen to that),
# but its number may be in use: by a zombie nobody has collected, or, after a boot, by somebody else.
# PostgreSQL would take that for itself and refuse to start.
forget_the_dead() {
    dead='' port='' folder=''
    {
        read -r dead && read -r _ && read -r _ && read -r port && read -r folder
    } 2>/dev/null <"$data/postmaster.pid"
    dead=${dead#-} # a single-user server's
    [ -n "$dead" ] || return 0
    socket_lock=$folder/.s.PGSQL.$port.lock
    holder=
    { read -r holder <"$socket_lock"; } 2>/dev/null
    [ "$holder" != "$dead" ] || rm -f -- "$socket_lock"
    rm -f -- "$data/postmaster.pid"
}

# Wait until the server says it is up, for at most $1 centiseconds; its word is line 8 of its pid file.
wait_up() {
    now
    end=$((now + $1))
    while :; do
        owner='' status=''
        {
            read -r owner && for _ in 2 3 4 5 6 7 8; do read -r status || status=; done
        } 2>/dev/null <"$data/postmaster.pid"
        # A server that crashed has left its own file, which says "ready" still.
        if [ "$owner" = "$child" ]; then
            case $status in ready* | standby*) return 0 ;; esac
        fi
        [ -d "/proc/$child/cwd/." ] || die 70 "the server did not start: $(last_words)"
        now
        [ "$now" -ge "$end" ] && die 70 "the server is still starting after the time allowed: $(last_words)"
        sleep 0.02
    done
}

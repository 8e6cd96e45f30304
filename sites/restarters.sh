# What starts one database by itself on this host? Looks only; says `found=kind|name|detail` for each and
# `unknown=what` for every place that it cannot look at. Values: data, cluster (of Debian's tools), owner.
say() { printf '%s=%s\n' "$1" "$(printf %s "$2" | tr '\n\r' '  ' | cut -c1-300)"; }
tool_calls="pg_ctlcluster ${cluster:-(none)}"
tool_calls_too="pg_ctlcluster ${cluster%-*} ${cluster##*-}"
[ -n "$cluster" ] || tool_calls_too=$tool_calls
names() { # names FILE: its lines, comments left out, name the database
    grep -v '^[[:space:]]*[#;]' -- "$1" 2>/dev/null |
        grep -F -e "$data" -e "$tool_calls" -e "$tool_calls_too"
}
files() { # files KIND PATTERN...: those that name the database; those that cannot be read are said
    kind=$1
    shift
    for file in "$@"; do
        [ -e "$file" ] || continue
        [ -d "$file" ] && continue
        if [ ! -r "$file" ]; then
            say unknown "$file cannot be read"
        elif line=$(names "$file" | head -n 1) && [ -n "$line" ]; then
            say found "$kind|$file|$line"
        fi
    done
}

# --- systemd: what it restarts, and what it starts at boot ---
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
    if shown=$(systemctl show --no-pager -p Id -p UnitFileState -p Restart -p ActiveState -p ExecStart \
        -p Environment '*.service' 2>/dev/null) && [ -n "$shown" ]; then
        printf '%s\n' "$shown" | awk -v data="$data" -v cluster="$cluster" '
            BEGIN { RS = ""; FS = "\n" }
            {
                id = state = restart = active = ""
                for (i = 1; i <= NF; i++) {
                    at = index($i, "=")
                    key = substr($i, 1, at - 1)
                    value = substr($i, at + 1)
                    if (key == "Id") id = value
                    if (key == "UnitFileState") state = value
                    if (key == "Restart") restart = value
                    if (key == "ActiveState") active = value
                }
                if (id ~ /^twinsite-/) next
                ours = index($0, data) > 0
                if (cluster != "" && index($0, "pg_ctlcluster") > 0 && index($0, cluster) > 0) ours = 1
                if (!ours) next
                if (restart != "" && restart != "no") print "found=systemd-restart|" id "|Restart=" restart
                if (state ~ /^enabled/) print "found=systemd-boot|" id "|" state
            }'
    else
        say unknown "systemd does not answer"
    fi
    if [ -n "$cluster" ]; then
        start=/etc/postgresql/$(printf %s "$cluster" | tr - /)/start.conf
        if [ ! -e "$start" ]; then
            say found "startconf|$start|missing, which counts as auto"
        elif [ ! -r "$start" ]; then
            say unknown "$start cannot be read"
        elif grep -qsE '^[[:space:]]*auto([[:space:]]|$)' "$start"; then
            say found "startconf|$start|auto"
        fi
    fi
elif [ -d /etc/init.d ]; then
    files init /etc/rc2.d/S* /etc/rc3.d/S* /etc/rc5.d/S* /etc/rc.d/rc3.d/S* /etc/rc.d/rc5.d/S*
else
    say unknown "what starts services here is neither systemd nor init scripts"
fi

# --- other supervisors ---
files supervisord /etc/supervisord.conf /etc/supervisor/supervisord.conf /etc/supervisor/conf.d/* \
    /etc/supervisord.d/*
files runit /etc/service/*/run /service/*/run /var/service/*/run /run/service/*/run
files monit /etc/monit/monitrc /etc/monitrc /etc/monit/conf.d/* /etc/monit/conf-enabled/* /etc/monit.d/*
files inittab /etc/inittab
files rc.local /etc/rc.local /etc/rc.d/rc.local

# --- cron: at boot, or looking after it again and again ---
files cron /etc/crontab /etc/cron.d/* /etc/anacrontab
for spool in /var/spool/cron/crontabs /var/spool/cron; do
    [ -d "$spool" ] || continue
    if [ -r "$spool" ] && [ -x "$spool" ]; then
        files cron "$spool"/*
    elif [ -n "$owner" ] && table=$(sudo -n -u "$owner" crontab -l 2>&1); then
        line=$(printf '%s\n' "$table" | grep -v '^[[:space:]]*#' | grep -F -e "$data" | head -n 1)
        [ -n "$line" ] && say found "cron|crontab of $owner|$line"
        say unknown "$spool cannot be read: what root's crontab starts is not known"
    elif printf %s "$table" | grep -q 'no crontab for'; then
        say unknown "$spool cannot be read: what root's crontab starts is not known"
    else
        say unknown "$spool cannot be read: what crontabs start is not known"
    fi
    break
done

# --- managers of databases, by their processes ---
if running=$(ps -eo comm= 2>/dev/null) && [ -n "$running" ]; then
    for manager in ohasd.bin crsd.bin pacemakerd patroni repmgrd pg_autoctl stolon-keeper; do
        if printf '%s\n' "$running" | grep -qxF "$manager"; then
            say found "manager|$manager|runs here"
        fi
    done
else
    say unknown "processes cannot be listed"
fi
[ -r /etc/oratab ] && grep -E '^[^#:]+:[^:]*:[Yy]' /etc/oratab | while read -r line; do
    say found "oratab|/etc/oratab|$line"
done

# --- containers that are restarted ---
for tool in docker podman; do
    command -v "$tool" >/dev/null 2>&1 || continue
    if all=$("$tool" ps -aq 2>/dev/null); then
        for each in $all; do
            told=$("$tool" inspect -f '{{.Name}} {{.HostConfig.RestartPolicy.Name}}{{range .Mounts}} {{.Source}}{{end}}' \
                "$each" 2>/dev/null) || continue
            case " $told " in
                *" no "* | *" $data.twinsite"*) ;;
                *" $data "* | *" ${data%/*} "*) say found "container|$tool|$told" ;;
            esac
        done
    else
        say unknown "$tool does not answer: which containers it restarts is not known"
    fi
done
say done yes

# After a promotion: any later start of this server is as a standby.
need_data
put_signal
to_disk "$data/standby.signal" "$data"
say signal yes

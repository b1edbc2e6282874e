#!/busybox sh
# Process 1 of a guest: makes this machine's files, below a layer that forgets, the root, and goes on there.
b() { /busybox "$@"; }
b mkdir -p /proc /sys /dev /below /above /root
b mount -t proc none /proc
b mount -t devtmpfs none /dev
while read -r module; do b insmod "/modules/$module"; done < /insmod
b mount -t virtiofs -o ro root /below
b mount -t tmpfs none /above
b mkdir /above/upper /above/work
b mount -t overlay -o lowerdir=/below,upperdir=/above/upper,workdir=/above/work none /root
b mount -t proc none /root/proc
b mount -t sysfs none /root/sys
b mount -t devtmpfs none /root/dev
b mkdir -p /root/dev/pts /root/dev/shm
b mount -t devpts none /root/dev/pts
b mount -t tmpfs none /root/dev/shm
b mount -t tmpfs none /root/run
b mkdir -p /root/run/netns
b mount -t cgroup2 none /root/sys/fs/cgroup
b mount -t bpf none /root/sys/fs/bpf
b mount -t debugfs none /root/sys/kernel/debug
b mount -t tracefs none /root/sys/kernel/tracing
# A processor that is stuck ends the guest and says where, instead of the time running out.
echo 8 > /proc/sys/kernel/printk
for knob in softlockup_all_cpu_backtrace softlockup_panic oops_all_cpu_backtrace; do
    echo 1 > /proc/sys/kernel/$knob 2>/dev/null || true
done
b cp /session /root/run/session
exec /busybox switch_root /root /bin/sh /run/session

#define _GNU_SOURCE
#include "CLab.h"

#include <sched.h>
#include <sys/mount.h>

int show_own_namespace_in_sys(void) {
    if (unshare(CLONE_NEWNS) != 0) return -1;
    /* Nothing of what follows must show outside. */
    if (mount("", "/", "none", MS_SLAVE | MS_REC, NULL) != 0) return -1;
    /* Where there is no /sys, nothing has to go. */
    umount2("/sys", MNT_DETACH);
    return mount("sysfs", "/sys", "sysfs", 0, NULL);
}

#define _GNU_SOURCE
#include <malloc.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <linux/nsfs.h>

#include "CLinux.h"

int linux_enter_network_namespace(int descriptor) { return setns(descriptor, CLONE_NEWNET); }

int linux_unshare_network_namespace(void) { return unshare(CLONE_NEWNET); }

int linux_enter_mount_namespace(int descriptor) {
    if (unshare(CLONE_FS) != 0) return -1;
    return setns(descriptor, CLONE_NEWNS);
}

unsigned long long linux_network_namespace_cookie(void) {
    unsigned long long cookie = 0;
    socklen_t length = sizeof cookie;
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return 0;
    if (getsockopt(descriptor, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0) cookie = 0;
    close(descriptor);
    return cookie;
}

int linux_is_network_namespace(int descriptor) { return ioctl(descriptor, NS_GET_NSTYPE) == CLONE_NEWNET; }

int linux_bind_mount(const char *source, const char *target, int recursive) {
    return mount(source, target, "none", MS_BIND | (recursive ? MS_REC : 0), NULL);
}

int linux_share_mount(const char *target) { return mount("", target, "none", MS_SHARED | MS_REC, NULL); }

int linux_detach_mount(const char *target) { return umount2(target, MNT_DETACH); }

int linux_show_own_namespace_in_sys(void) {
    if (unshare(CLONE_NEWNS) != 0) return -1;
    /* Nothing of what follows must show outside. */
    if (mount("", "/", "none", MS_SLAVE | MS_REC, NULL) != 0) return -1;
    /* Where there is no /sys, nothing has to go. */
    umount2("/sys", MNT_DETACH);
    return mount("sysfs", "/sys", "sysfs", 0, NULL);
}

void linux_wait_for_readers(void) { syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0); }

void linux_use_small_pages(void) { prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); }

void linux_give_back_memory(void) { malloc_trim(0); }

const char *linux_errno_name(int number) { return strerrorname_np(number); }

const char *linux_errno_description(int number) { return strerrordesc_np(number); }

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>

#include "CLibNL.h"

#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/ipgre.h>
#include <netlink/route/link/vrf.h>
#include <netlink/route/link/vxlan.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <netlink/socket.h>

#define CHECK(result, name, parameters) \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&name), result(*) parameters), #name " has another type");
LIBNL_FUNCTIONS(CHECK)
_Static_assert(LIBNL_MESSAGE_TYPE_NOT_SUPPORTED == NLE_MSGTYPE_NOSUPPORT, "another number");
_Static_assert(LIBNL_DUMP_INTERRUPTED == NLE_DUMP_INTR, "another number");

static struct libnl functions;
static __typeof__(&nl_socket_modify_cb) modify_callback;
static char loading_problem[256];

static void *find(void *library, const char *name) {
    void *function = dlsym(library, name);
    if (!function && !loading_problem[0]) snprintf(loading_problem, sizeof loading_problem, "%s", dlerror());
    return function;
}

static void load(void) {
    void *library = dlopen("libnl-route-3.so.200", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(loading_problem, sizeof loading_problem, "%s", dlerror());
        return;
    }
    /* What the library itself depends on is looked in, too. */
#define FIND(result, name, parameters) functions.name = find(library, #name);
    LIBNL_FUNCTIONS(FIND)
    modify_callback = find(library, "nl_socket_modify_cb");
}

const struct libnl *libnl_load(const char **problem) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    *problem = loading_problem;
    return loading_problem[0] ? NULL : &functions;
}

int libnl_on_message(struct nl_sock *socket, int (*each)(struct nl_msg *, void *), void *context) {
    return modify_callback(socket, NL_CB_VALID, NL_CB_CUSTOM, each, context);
}

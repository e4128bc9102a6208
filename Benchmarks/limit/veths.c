/* Makes COUNT veth pairs, one end of each in the namespace /run/netns/nINDEX, and nothing else: veths COUNT
 *
 * Prints seconds: `add`, and `remove` for deleting all of them by their group. */
#include "netlink.h"
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/veth.h>

enum { GROUP = 4711, PART = 256 };

static void pair(long index, int namespace) {
    char name[16];
    struct nlmsghdr *message = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    body(sizeof(struct ifinfomsg));
    snprintf(name, sizeof name, "e%ld", index);
    text(IFLA_IFNAME, name);
    u32(IFLA_GROUP, GROUP);
    size_t info = open_nest(IFLA_LINKINFO);
    put(IFLA_INFO_KIND, "veth", 4);
    size_t data = open_nest(IFLA_INFO_DATA);
    size_t peer = open_nest(VETH_INFO_PEER);
    body(sizeof(struct ifinfomsg));
    text(IFLA_IFNAME, "eth0");
    u32(IFLA_NET_NS_FD, namespace);
    close_nest(peer);
    close_nest(data);
    close_nest(info);
    end(message);
}

int main(int argc, char **argv) {
    if (argc != 2) return 64;
    long count = atol(argv[1]);
    int fd = connected(NETLINK_ROUTE);
    allocate(PART * 256);
    double seconds = 0, seconds_processor = 0;
    for (long first = 0; first < count; first += PART) {
        int namespaces[PART], part = 0;
        for (used = 0; part < PART && first + part < count; part++) {
            char path[64];
            snprintf(path, sizeof path, "/run/netns/n%ld", first + part);
            namespaces[part] = open(path, O_RDONLY);
            if (namespaces[part] < 0) fail(path);
            pair(first + part, namespaces[part]);
        }
        start();
        transfer(fd, 0, used);
        seconds += now() - started;
        seconds_processor += processor() - started_processor;
        while (part > 0) close(namespaces[--part]);
    }
    printf("add %.9f\nadd.cpu %.6f\n", seconds, seconds_processor);
    used = 0;
    struct nlmsghdr *message = begin(RTM_DELLINK, NLM_F_ACK);
    body(sizeof(struct ifinfomsg));
    u32(IFLA_GROUP, GROUP);
    end(message);
    start();
    if (send(fd, buffer, used, 0) < 0) fail("send");
    acknowledged(fd);
    note("remove");
    return 0;
}
